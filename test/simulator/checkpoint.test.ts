import { describe, expect, test } from 'vitest'
import { DOMAIN } from '../_support/tenant.js'
import { NOON, start, writeLogouts } from './start.js'

const ZEROS = '0'.repeat(39)

function next(from: string | undefined, take: number): string {
  return `<https://${DOMAIN}/api/v2/logs?from=${from}&take=${take}>; rel="next"`
}

describe('GET /api/v2/logs by checkpoint', () => {
  test('returns the entries stored after the checkpoint, oldest first, without the checkpoint itself', async () => {
    const { tenant, ids } = await start()
    const written = writeLogouts(tenant, 5)
    expect(await ids(`?from=${written[1]}&take=2`)).toEqual(written.slice(2, 4))
  })

  test('names the last entry in its Link header', async () => {
    const { tenant, logs } = await start()
    const written = writeLogouts(tenant, 5)
    const response = await logs(`?from=${written[1]}&take=2`)
    expect(response.headers.get('link')).toBe(next(written[3], 2))
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8')
  })

  test('ends with an empty array and a Link to the same checkpoint', async () => {
    const { tenant, logs } = await start()
    const last = writeLogouts(tenant, 2).at(-1)
    const response = await logs(`?from=${last}&take=100`)
    expect(await response.text()).toBe('[]')
    expect(response.headers.get('link')).toBe(next(last, 100))
  })

  test('returns an entry that is stored after an empty page, from the same checkpoint', async () => {
    const { tenant, ids, clock } = await start()
    const last = writeLogouts(tenant, 2).at(-1)
    expect(await ids(`?from=${last}`)).toEqual([])
    clock.ms += 1000
    const { logId } = tenant.write({ type: 'slo' })
    expect(await ids(`?from=${last}`)).toEqual([logId])
  })

  test('returns the whole log if each Link is followed', async () => {
    const { tenant, logs } = await start()
    const written = writeLogouts(tenant, 250)
    const seen: string[] = []
    let from = tenant.positionAt(0)
    for (let page = await logs(`?from=${from}&take=100`); ; ) {
      const entries = (await page.json()) as { log_id: string }[]
      if (entries.length === 0) break
      seen.push(...entries.map((entry) => entry.log_id))
      from = /from=(\d+)/.exec(page.headers.get('link') ?? '')?.[1] ?? ''
      page = await logs(`?from=${from}&take=100`)
    }
    expect(seen).toEqual(written)
  })

  test('accepts a synthetic id as a position in time', async () => {
    const { tenant, ids } = await start()
    const written = writeLogouts(tenant, 3)
    expect(await ids(`?from=90020260301115959${ZEROS}`)).toEqual(written.slice(1))
    expect(await ids('?from=90020260301115959')).toEqual(written.slice(1))
  })

  test('supports log ids that begin with 800', async () => {
    const { tenant, ids } = await start({ prefix: '800' })
    const written = writeLogouts(tenant, 3)
    expect(await ids(`?from=${written[0]}`)).toEqual(written.slice(1))
    expect(await ids()).toEqual(written.reverse())
  })

  test('ignores every other parameter', async () => {
    const { tenant, ids } = await start()
    const written = writeLogouts(tenant, 3)
    const others = 'q=type:s&sort=date:-1&page=3&per_page=1&include_totals=true&fields=type'
    expect(await ids(`?${others}&from=${written[0]}&take=10`)).toEqual(written.slice(1))
  })

  test.each(['from=none', 'from=', 'from=900&take=101', 'from=900&take=0', 'from=900&take=x'])(
    'rejects %s',
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

  test('returns 50 entries if `take` is omitted', async () => {
    const { tenant, ids } = await start()
    writeLogouts(tenant, 60)
    expect(await ids('?from=900')).toHaveLength(50)
  })
})

describe('a checkpoint older than the retention', () => {
  const HOUR = 3_600_000

  test('continues with the oldest retained entry by default', async () => {
    const { tenant, ids } = await start({ retentionMs: HOUR })
    const lost = tenant.write({ type: 'slo' }, { dateMs: NOON - 2 * HOUR }).logId
    const kept = writeLogouts(tenant, 2)
    expect(await ids(`?from=${lost}`)).toEqual(kept)
  })

  test.each([400, 404] as const)(
    'is refused with status %i if that is configured',
    async (status) => {
      const { tenant, logs } = await start({ retentionMs: HOUR, expiredCheckpoint: status })
      const kept = writeLogouts(tenant, 2)
      const refused = await logs(`?from=${tenant.positionAt(NOON - 2 * HOUR)}`)
      expect(refused.status).toBe(status)
      expect(await refused.json()).toMatchObject({ statusCode: status })
      expect((await logs(`?from=${kept[0]}`)).status).toBe(200)
    },
  )
})
