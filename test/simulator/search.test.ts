import { describe, expect, test } from 'vitest'
import { NOON, start, writeLogouts } from './start.js'

// A search returns pages of the entries that match the query `q`, unlike a request with a checkpoint (`from`).
describe('GET /api/v2/logs by search', () => {
  test('a search returns the 50 newest entries, newest first, as an array without a Link', async () => {
    const { tenant, logs } = await start()
    const logIds = writeLogouts(tenant, 60)
    const response = await logs()
    const entries = (await response.json()) as { log_id: string }[]
    expect(entries.map((entry) => entry.log_id)).toEqual(logIds.reverse().slice(0, 50))
    expect(response.headers.get('link')).toBeNull()
  })

  test('a search counts pages from 0', async () => {
    const { tenant, ids } = await start()
    const logIds = writeLogouts(tenant, 5).reverse()
    expect(await ids('?page=0&per_page=2')).toEqual(logIds.slice(0, 2))
    expect(await ids('?page=2&per_page=2')).toEqual(logIds.slice(4))
    expect(await ids('?page=3&per_page=2')).toEqual([])
  })

  test('a search sorts by date and by log id, in both directions', async () => {
    const { tenant, ids } = await start()
    // The first entry by date is stored after the other entry, so it is the last entry by log id.
    const firstByDate = tenant.write({ type: 's' }, { dateMs: NOON - 9000, storedAtMs: NOON }).logId
    const firstById = tenant.write({ type: 's' }, { dateMs: NOON - 5000 }).logId
    expect(await ids('?sort=date:1')).toEqual([firstByDate, firstById])
    expect(await ids('?sort=date:-1')).toEqual([firstById, firstByDate])
    expect(await ids('?sort=log_id:1')).toEqual([firstById, firstByDate])
    expect(await ids('?sort=log_id:-1')).toEqual([firstByDate, firstById])
  })

  test('a search with sort=date:1&per_page=1 returns the oldest retained entry', async () => {
    const { tenant, ids } = await start({ retentionMs: 2500 })
    // The logouts are 4, 3, 2, 1 and 0 s old. The first two are no longer retained.
    const logIds = writeLogouts(tenant, 5)
    expect(await ids('?sort=date:1&per_page=1')).toEqual([logIds[2]])
  })

  test('a search with include_totals returns as `total` the number of entries in the page, not of all matches', async () => {
    const { tenant, logs } = await start()
    writeLogouts(tenant, 5)
    const response = await logs('?include_totals=true&page=1&per_page=3')
    const { logs: entries, ...totals } = (await response.json()) as { logs: unknown[] }
    expect(totals).toEqual({ start: 3, limit: 3, length: 2, total: 2 })
    expect(entries).toHaveLength(2)
  })

  test('a search finds entries by type and by a half-open range of log ids', async () => {
    const { tenant, ids } = await start()
    const logIds = writeLogouts(tenant, 4)
    // This login is within the range, but has another type.
    tenant.write({ type: 's' }, { dateMs: NOON - 1500 })
    const q = `type:(slo OR scp) AND log_id:{${logIds[0]} TO ${logIds[2]}]`
    expect(await ids(`?q=${encodeURIComponent(q)}&sort=log_id:1`)).toEqual(logIds.slice(1, 3))
  })

  test('a search finds entries by user and by a range of dates', async () => {
    const { tenant, ids } = await start()
    const [, second, third] = ['auth0|1', 'auth0|2', 'auth0|2'].map(
      (user_id, i) => tenant.write({ type: 'slo', user_id }, { dateMs: NOON - 3000 + i }).logId,
    )
    const search = (dates: string) =>
      ids(`?q=${encodeURIComponent(`user_id:"auth0|2" AND date:${dates}`)}`)
    // This is the date of the second entry, 3 s before noon plus 1 ms.
    expect(await search('[* TO 2026-03-01T11:59:57.001Z]')).toEqual([second])
    expect(await search('{2026-03-01T11:59:57.001Z TO *]')).toEqual([third])
  })

  test.each([
    'q=details.session_id:x',
    'q=NOT%20type:slo',
    'q=',
    'sort=type:1',
    'page=-1',
    'per_page=101',
    'per_page=0',
    'fields=type',
    'take=10',
  ])('a search rejects the invalid or unsupported parameter %s', async (query) => {
    const { logs } = await start()
    const response = await logs(`?${query}`)
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ errorCode: 'invalid_query_string' })
  })
})

describe('the maximum of 1,000 results of a search', () => {
  test('a search returns the page that ends at the maximum', async () => {
    const { tenant, ids } = await start()
    writeLogouts(tenant, 1100)
    expect(await ids('?page=9&per_page=100')).toHaveLength(100)
  })

  test.each(['page=10&per_page=100', 'page=20', 'page=15&per_page=64', 'page=99999'])(
    'a search rejects a page beyond the maximum: %s',
    async (query) => {
      const { logs } = await start()
      const response = await logs(`?${query}`)
      expect(response.status).toBe(400)
      expect(await response.json()).toEqual({
        statusCode: 400,
        error: 'Bad Request',
        message: expect.stringContaining('exceeds the allowed maximum of 1000 records'),
        errorCode: 'invalid_paging',
      })
    },
  )
})
