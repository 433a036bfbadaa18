import type { FastifyInstance } from 'fastify'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import { bearer, keys, openApi } from '../_support/api.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { CHECKPOINT, openTestStore } from '../_support/store.js'

const NOW = 1_795_428_300_123
/** The instant up to which the log has been read. */
const AS_OF = NOW - 840

let database: TestDatabase
/** The clock of the database. */
let now = NOW
let store: LastLogoutStore & { close(): Promise<void> }
let app: FastifyInstance
beforeAll(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database, { now: () => now })
  await store.setFirstCheckpoint(CHECKPOINT, null)
  await store.storeCaughtUp(CHECKPOINT, AS_OF)
})
afterAll(async () => {
  await store.close()
  await database.drop()
})
beforeEach(async () => {
  now = NOW
  app = await openApi(store)
})
afterEach(() => app.close())

const get = (url: string, headers: Record<string, string> = bearer(keys.reader)) =>
  app.inject({ url, headers })

describe('the health routes', () => {
  test('the health routes require no key', async () => {
    expect((await get('/health/live', {})).json()).toEqual({ status: 'ok' })
    const readyResponse = await get('/health/ready', {})
    expect(readyResponse.statusCode).toBe(200)
    expect(readyResponse.json()).toMatchObject({ status: 'ok', lag_ms: NOW - AS_OF })
    expect((await get('/health/fresh', {})).statusCode).toBe(200)
  })

  // MAX_LAG is 60 s by default.
  test.each([
    [59_999, 200, 'ok'],
    [60_000, 200, 'ok'],
    [60_001, 503, 'stale'],
  ])(
    'with a lag of %d ms, /health/fresh responds with %d, and /health/ready with 200 (pitfall 6)',
    async (lagMs, statusCode, status) => {
      now = AS_OF + lagMs
      const freshResponse = await app.inject('/health/fresh')
      expect(freshResponse.statusCode).toBe(statusCode)
      expect(freshResponse.json()).toMatchObject({ status, lag_ms: lagMs })
      expect((await app.inject('/health/ready')).statusCode).toBe(200)
    },
  )

  test.each([
    [0, 200, 0],
    [60_000, 200, 0],
    [60_001, 503, null],
  ])(
    'if as_of is %d ms ahead of the clock of the database, /health/fresh responds with %d, and lag_ms is %j',
    async (aheadMs, statusCode, lagMs) => {
      now = AS_OF - aheadMs
      const freshResponse = await app.inject('/health/fresh')
      expect(freshResponse.statusCode).toBe(statusCode)
      expect(freshResponse.json()).toMatchObject({
        as_of: new Date(AS_OF).toISOString(),
        lag_ms: lagMs,
      })
      const userResponse = await get('/v1/users/auth0%7C123/last-logout')
      expect(userResponse.json()).toMatchObject({ lag_ms: lagMs })
    },
  )

  test('concurrent requests of health routes share one query of the database', async () => {
    const queries = { running: 0, maxRunning: 0, total: 0 }
    const readProgress = async () => {
      queries.total++
      queries.maxRunning = Math.max(queries.maxRunning, ++queries.running)
      return store.readProgress().finally(() => queries.running--)
    }
    const appWithQueryCount = await openApi({ ...store, readProgress })
    const requestBothRoutes = () =>
      ['/health/ready', '/health/fresh'].map((url) => appWithQueryCount.inject(url))
    const responses = await Promise.all(Array.from({ length: 50 }, requestBothRoutes).flat())
    expect(new Set(responses.map(({ statusCode }) => statusCode))).toEqual(new Set([200]))
    expect(queries.maxRunning).toBe(1)
    const totalBefore = queries.total
    await appWithQueryCount.inject('/health/ready')
    expect(queries.total).toBe(totalBefore + 1)
    await appWithQueryCount.close()
  })
})
