import { describe, expect, test } from 'vitest'
import { HOUR_MS } from '../../src/rules/instant.js'
import { DOMAIN } from '../_support/tenant.js'
import { NOON, start, writeLogouts } from './start.js'

/** Returns the value of a `Link` header whose next page begins after this log id. */
function linkToNext(from: string | undefined, take: number): string {
  return `<https://${DOMAIN}/api/v2/logs?from=${from}&take=${take}>; rel="next"`
}

// A checkpoint is the log id after which a page begins: the parameter `from`. `take` is the maximum size of the page.
describe('GET /api/v2/logs by checkpoint', () => {
  test('the Logs API returns the entries stored after the checkpoint, oldest first, without the entry of the checkpoint', async () => {
    const { tenant, ids } = await start()
    const logIds = writeLogouts(tenant, 5)
    expect(await ids(`?from=${logIds[1]}&take=2`)).toEqual(logIds.slice(2, 4))
  })

  test('the Link header of a page contains the id of its last entry', async () => {
    const { tenant, logs } = await start()
    const logIds = writeLogouts(tenant, 5)
    const response = await logs(`?from=${logIds[1]}&take=2`)
    expect(response.headers.get('link')).toBe(linkToNext(logIds[3], 2))
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8')
  })

  test('the Logs API returns an empty array and a Link to the same checkpoint at the end of the log', async () => {
    const { tenant, logs } = await start()
    const lastId = writeLogouts(tenant, 2).at(-1)
    const response = await logs(`?from=${lastId}&take=100`)
    expect(await response.text()).toBe('[]')
    expect(response.headers.get('link')).toBe(linkToNext(lastId, 100))
  })

  test('after an empty page, the Logs API returns a new entry for the same checkpoint', async () => {
    const { tenant, ids, clock } = await start()
    const lastId = writeLogouts(tenant, 2).at(-1)
    expect(await ids(`?from=${lastId}`)).toEqual([])
    clock.ms += 1000
    const { logId: newId } = tenant.write({ type: 'slo' })
    expect(await ids(`?from=${lastId}`)).toEqual([newId])
  })

  test('the Logs API returns the whole log to a reader that follows each Link', async () => {
    const { tenant, logs } = await start()
    const logIds = writeLogouts(tenant, 250)
    const readIds: string[] = []
    let from = tenant.positionAt(0)
    let isAtEnd = false
    while (!isAtEnd) {
      const page = await logs(`?from=${from}&take=100`)
      const entries = (await page.json()) as { log_id: string }[]
      readIds.push(...entries.map((entry) => entry.log_id))
      from = /from=(\d+)/.exec(page.headers.get('link') ?? '')?.[1] ?? ''
      isAtEnd = entries.length === 0
    }
    expect(readIds).toEqual(logIds)
  })

  test('the Logs API accepts an id that no entry has, complete or shortened, as a position in time', async () => {
    const { tenant, ids } = await start()
    const logIds = writeLogouts(tenant, 3)
    // The logouts are at 11:59:58, 11:59:59 and 12:00:00. A log id contains the time after the prefix 900.
    const shortened = '90020260301115959'
    expect(await ids(`?from=${shortened}`)).toEqual(logIds.slice(1))
    expect(await ids(`?from=${shortened.padEnd(56, '0')}`)).toEqual(logIds.slice(1))
  })

  test('the Logs API supports log ids that begin with 800', async () => {
    const { tenant, ids } = await start({ prefix: '800' })
    const logIds = writeLogouts(tenant, 3)
    expect(await ids(`?from=${logIds[0]}`)).toEqual(logIds.slice(1))
    expect(await ids()).toEqual(logIds.reverse())
  })

  test('the Logs API ignores the parameters of a search if a request has a checkpoint', async () => {
    const { tenant, ids } = await start()
    const logIds = writeLogouts(tenant, 3)
    const otherParameters =
      'q=type:s&sort=date:-1&page=3&per_page=1&include_totals=true&fields=type'
    expect(await ids(`?${otherParameters}&from=${logIds[0]}&take=10`)).toEqual(logIds.slice(1))
  })

  test.each(['from=none', 'from=', 'from=900&take=101', 'from=900&take=0', 'from=900&take=x'])(
    'the Logs API rejects %s',
    async (query) => {
      const { logs } = await start()
      const response = await logs(`?${query}`)
      expect(response.status).toBe(400)
      expect(await response.json()).toMatchObject({
        statusCode: 400,
        error: 'Bad Request',
        errorCode: 'invalid_query_string',
      })
    },
  )

  test('the Logs API returns at most 50 entries if `take` is omitted', async () => {
    const { tenant, ids } = await start()
    writeLogouts(tenant, 60)
    // The prefix of all log ids is the position before the first entry.
    expect(await ids('?from=900')).toHaveLength(50)
  })
})

describe('an expired checkpoint, which is older than every retained entry', () => {
  test('by default, the page after an expired checkpoint begins with the oldest retained entry', async () => {
    const { tenant, ids } = await start({ retentionMs: HOUR_MS })
    const expiredId = tenant.write({ type: 'slo' }, { dateMs: NOON - 2 * HOUR_MS }).logId
    const retainedIds = writeLogouts(tenant, 2)
    expect(await ids(`?from=${expiredId}`)).toEqual(retainedIds)
  })

  test.each([400, 404] as const)(
    'an expired checkpoint is refused with status %i if that is configured',
    async (status) => {
      const { tenant, logs } = await start({ retentionMs: HOUR_MS, expiredCheckpoint: status })
      const retainedIds = writeLogouts(tenant, 2)
      const refusal = await logs(`?from=${tenant.positionAt(NOON - 2 * HOUR_MS)}`)
      expect(refusal.status).toBe(status)
      expect(await refusal.json()).toMatchObject({ statusCode: status })
      expect((await logs(`?from=${retainedIds[0]}`)).status).toBe(200)
    },
  )
})
