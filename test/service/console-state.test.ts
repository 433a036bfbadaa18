import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/config.js'
import {
  type ConsoleStateReader,
  createConsoleStateReader,
  loadScheduleReader,
} from '../../src/service/console-state.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { CHECKPOINT, openTestStore } from '../_support/store.js'
import { DOMAIN } from '../_support/tenant.js'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

const ANY_TIME = expect.stringMatching(/^\d{4}-.*Z$/)

let database: TestDatabase
let store: Awaited<ReturnType<typeof openTestStore>>
let reader: ConsoleStateReader
// On a busy machine, loading BullMQ can take longer than a request waits for the schedule.
beforeAll(async () => void (await loadScheduleReader()))
beforeEach(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database)
})
afterEach(async () => {
  reader.close()
  await store.close()
  await database.drop()
})

/** Opens a reader with these variables and methods of the store, and reads the state. */
function readState(env: Record<string, string> = {}, overrides: Partial<typeof store> = {}) {
  const config = loadConfig({ AUTH0_DOMAIN: DOMAIN, DATABASE_URL: database.url, ...env }, [
    'database',
  ])
  reader = createConsoleStateReader({
    config,
    store: { ...store, ...overrides },
    databaseUrl: database.url,
    getDatabaseId: () => 'an-id',
  })
  return reader.read()
}

test('the state of a new database has no data, no gap and no job', async () => {
  const startedAt = Date.now()
  const state = await readState()
  expect(state).toMatchObject({
    tenant: DOMAIN,
    checkpoint: null,
    as_of: null,
    lag_ms: null,
    users: 0,
    unattributable: {},
    gap_list: [],
    gap_advice: null,
    history: { at: [], lag_ms: [] },
    schedule: { store: 'postgresql', error: null, jobs: [] },
  })
  // The history, the schedule and `now` have times of one clock, so that the console can compare them.
  const { history, schedule, now } = state
  const read = [history.since, schedule.read_at, now].map((at) => Date.parse(at))
  const times = [startedAt, ...read, Date.now()]
  expect(times).toEqual(times.toSorted((a, b) => a - b))
})

test('the state contains freshness, the meaning of each gap, and how to close an open gap', async () => {
  // A gap is a span of the log that was not read. It is open while its logouts can concern a valid token.
  const now = Date.now()
  await store.setFirstCheckpoint(CHECKPOINT, null)
  await store.storeCaughtUp(CHECKPOINT, now)
  const expiredGap = { from: now - 90 * DAY_MS, to: now - 80 * DAY_MS }
  const openGap = { from: now - 2 * HOUR_MS, to: now - HOUR_MS }
  await store.storeGap({ ...expiredGap, reason: 'cold_start' }, false)
  await store.storeGap({ ...openGap, reason: 'retention' }, false)
  const { as_of, lag_ms, gap_list, gap_advice } = await readState()
  expect(as_of).toBe(new Date(now).toISOString())
  expect(lag_ms).toBeLessThan(60_000)
  expect(gap_list).toMatchObject([
    {
      from: new Date(openGap.from).toISOString(),
      state: 'open',
      meaning: expect.stringMatching(/^deleted before it was read; open: .* concern tokens until /),
    },
    { state: 'expired', meaning: expect.stringMatching(/^deleted before the first start; over: /) },
  ])
  expect(gap_advice).toContain(`last-logout floor raise ${new Date(openGap.to).toISOString()}`)
})

test('two requests within a minute share one count of the rows', async () => {
  let countCalls = 0
  await readState(
    {},
    {
      count: () => {
        countCalls++
        return store.count()
      },
    },
  )
  await reader.read()
  expect(countCalls).toBe(1)
})

describe('if Redis or PostgreSQL cannot return the jobs of the queue', () => {
  test('the state contains the error code of Redis, and no host or password', async () => {
    const { schedule } = await readState({ REDIS_URL: 'redis://:a-secret@127.0.0.1:1' })
    expect(schedule).toEqual({ store: 'redis', error: 'ECONNREFUSED', read_at: ANY_TIME, jobs: [] })
  })

  test('the state contains DATABASE_NOT_MIGRATED if PostgreSQL has no tables of the queue', async () => {
    await database.query('DROP SCHEMA bullmq CASCADE')
    expect((await readState()).schedule).toEqual({
      store: 'postgresql',
      error: 'DATABASE_NOT_MIGRATED',
      read_at: ANY_TIME,
      jobs: [],
    })
  })
})

test('reading the state rejects with DATABASE_UNAVAILABLE while the database is unavailable', async () => {
  const unavailable = Object.assign(new Error('down'), { code: 'DATABASE_UNAVAILABLE' })
  const fail = () => Promise.reject(unavailable)
  await expect(
    readState({}, { readProgress: fail, readGaps: fail, count: fail }),
  ).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
})
