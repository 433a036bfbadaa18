import { Registry } from 'prom-client'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createDatabaseMetrics, SCRAPE_TIMEOUT_MS } from '../../src/metrics/database.js'
import type { LastLogoutStore } from '../../src/ports.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { parseExposition } from '../_support/exposition.js'
import { openProxy } from '../_support/proxy.js'
import { openTestStore } from '../_support/store.js'
import { readValue } from './running.js'

/** Maximum duration of a scrape, in milliseconds. Prometheus times out after 10 s. */
const MAX_SCRAPE_MS = 4_500

let database: TestDatabase
let proxy: Awaited<ReturnType<typeof openProxy>>
let store: LastLogoutStore & { close(): Promise<void> }
beforeEach(async () => {
  database = await createTestDatabase()
  proxy = await openProxy(database.url)
  store = await openTestStore({ ...database, url: proxy.url })
})
afterEach(async () => {
  proxy.thaw()
  await store.close()
  await proxy.close()
  await database.drop()
})

/**
 * Registers the metrics. `scrapeMetric` scrapes all metrics and returns the value of one metric. `scrape` scrapes all
 * metrics and returns a function that reads any metric of this scrape.
 */
function openMetrics(overrides: Partial<Parameters<typeof createDatabaseMetrics>[1]> = {}) {
  const registry = new Registry()
  const metrics = createDatabaseMetrics(registry, { ...store, ...overrides })
  const scrape = async () => {
    await metrics.refresh()
    const families = parseExposition(await registry.metrics())
    return (name: string) => readValue(families, `last_logout_${name}`)
  }
  return { scrape, scrapeMetric: async (name: string) => (await scrape())(name) }
}

test('the metrics of the database are absent while the database hangs, and are present again afterwards', async () => {
  const { scrape, scrapeMetric } = openMetrics()
  await store.storeCaughtUp(null, Date.now())
  expect(await scrapeMetric('freshness_lag_seconds')).toBeLessThan(60)
  proxy.freeze()
  const startedAt = performance.now()
  const readMetric = await scrape()
  expect(performance.now() - startedAt).toBeLessThan(MAX_SCRAPE_MS)
  expect(readMetric('database_up')).toBe(0)
  for (const name of ['freshness_lag_seconds', 'gaps', 'users', 'reconciled_rows_total']) {
    expect(readMetric(name)).toBe(undefined)
  }
  proxy.thaw()
  await expect.poll(() => scrapeMetric('database_up'), { timeout: 25_000 }).toBe(1)
  expect(await scrapeMetric('users')).toBe(0)
}, 60_000)

test('a scrape waits three seconds for the database, which is less than the timeout of Prometheus', () => {
  expect(SCRAPE_TIMEOUT_MS).toBe(3_000)
})

test('database_up is 0 while a query of the database fails', async () => {
  const { scrapeMetric } = openMetrics()
  await database.query('ALTER TABLE tenant RENAME TO renamed')
  expect(await scrapeMetric('database_up')).toBe(0)
  await database.query('ALTER TABLE renamed RENAME TO tenant')
  expect(await scrapeMetric('database_up')).toBe(1)
})

test('while the database hangs, concurrent and later scrapes wait for the same query', async () => {
  let queries = 0
  const { scrapeMetric } = openMetrics({
    timeoutMs: 500,
    readProgress: () => {
      queries++
      return store.readProgress()
    },
  })
  proxy.freeze()
  expect(await Promise.all([scrapeMetric('database_up'), scrapeMetric('database_up')])).toEqual([
    0, 0,
  ])
  await scrapeMetric('database_up')
  expect(queries).toBe(1)
}, 60_000)

test('rows are counted at most once a minute', async () => {
  let counts = 0
  const { scrapeMetric } = openMetrics({
    count: () => {
      counts++
      return store.count()
    },
  })
  expect(await Promise.all([scrapeMetric('users'), scrapeMetric('users')])).toEqual([0, 0])
  await store.storeReported({ userId: 'auth0|1', sessionId: null, at: 1_000, type: 'slo' })
  // The result of the first count is cached, so it does not contain the stored user.
  expect(await scrapeMetric('users')).toBe(0)
  expect(counts).toBe(1)
})

test('a slow count delays no scrape, and a later scrape contains the result of the count', async () => {
  let startCount = () => {}
  const whenCountStarts = new Promise<void>((resolve) => {
    startCount = resolve
  })
  const { scrape, scrapeMetric } = openMetrics({
    count: () => whenCountStarts.then(() => store.count()),
    timeoutMs: 1_000,
  })
  const startedAt = performance.now()
  const readMetric = await scrape()
  expect(performance.now() - startedAt).toBeLessThan(MAX_SCRAPE_MS)
  expect([readMetric('users'), readMetric('database_up')]).toEqual([undefined, 1])
  startCount()
  await expect.poll(() => scrapeMetric('users')).toBe(0)
})
