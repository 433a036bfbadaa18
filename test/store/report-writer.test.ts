import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { HOUR_MS } from '../../src/rules/instant.js'
import type { ReportedLogout } from '../../src/rules/reported.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openTestStore, readRows, readUserIds } from '../_support/store.js'

// A reported logout comes from an application or an operator. `storeReported` resolves to the stored instant, and
// several concurrent calls of it share a transaction.

/** A report that waits for longer gets the time at which it was made. */
const SHORT_WAIT_MS = 100

let database: TestDatabase
let store: Awaited<ReturnType<typeof openTestStore>>
beforeAll(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database, { shortReportWaitMs: SHORT_WAIT_MS })
  // PostgreSQL then refuses the row of the user `refused`.
  await database.query(`ALTER TABLE last_logout ADD CHECK (user_id <> 'refused')`)
})
afterAll(async () => {
  await store.close()
  await database.drop()
})
beforeEach(async () => {
  await database.query('TRUNCATE last_logout, session_logout')
})

const NOON = Date.parse('2026-11-23T12:00:00Z')
const reportOf = (userId: string, overrides: Partial<ReportedLogout> = {}): ReportedLogout => ({
  userId,
  sessionId: null,
  at: NOON,
  type: 'reported_logout',
  ...overrides,
})

/** Returns the number of transactions that wrote the rows of users. `xmin` is the transaction that wrote a row. */
async function countTransactions(): Promise<number> {
  const [row] = await database.query<{ count: number }>(
    'SELECT count(DISTINCT xmin::text)::integer FROM last_logout',
  )
  return row?.count ?? 0
}

test('reports that arrive at the same time share a transaction, and each gets its own instant', async () => {
  const reports = Array.from({ length: 100 }, (_, n) => reportOf(`u${n}`, { at: NOON + n }))
  const instants = await Promise.all(reports.map(store.storeReported))
  expect(instants).toEqual(reports.map(({ at }) => at))
  expect(await readUserIds(database)).toHaveLength(100)
  expect(await countTransactions()).toBe(1)
})

test('reports that arrive during a transaction share the next transaction', async () => {
  const pendingReports: Promise<unknown>[] = []
  for (let n = 0; n < 50; n++) {
    pendingReports.push(store.storeReported(reportOf(`u${n}`)))
    // The first transaction begins, and is in progress when the next reports arrive.
    await new Promise(setImmediate)
  }
  await Promise.all(pendingReports)
  expect(await readUserIds(database)).toHaveLength(50)
  expect(await countTransactions()).toBeLessThan(25)
})

test('reports of the same user in one transaction are combined in one row per user and session', async () => {
  await Promise.all([
    store.storeReported(reportOf('u1', { at: NOON + 2, sessionId: 'S1' })),
    store.storeReported(reportOf('u1', { at: NOON + 1 })),
    store.storeReported(reportOf('u1', { at: NOON, sessionId: 'S1' })),
  ])
  // A report has no entry in Auth0's log. It ends no session, because only Auth0 knows whether a session has ended.
  const origin = { logId: '', type: 'reported_logout' }
  expect(await readRows(database)).toEqual({
    users: [{ userId: 'u1', at: NOON + 2, allSessionsAt: NOON + 1, ...origin }],
    sessions: [{ sessionId: 'S1', userId: 'u1', at: NOON + 2, ended: false, ...origin }],
  })
})

test('a report that is too far in the future is not stored, but other reports of the same transaction are stored', async () => {
  const aheadReport = reportOf('ahead', { at: Date.now() + HOUR_MS })
  const instants = await Promise.all([aheadReport, reportOf('u1')].map(store.storeReported))
  expect(instants).toEqual([null, NOON])
  expect(await readUserIds(database)).toEqual(['u1'])
})

test('a report that PostgreSQL refuses is rejected, but other reports of the same transaction are stored', async () => {
  const userIds = ['u1', 'refused', 'u2']
  const results = await Promise.allSettled(userIds.map((id) => store.storeReported(reportOf(id))))
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(await readUserIds(database)).toEqual(['u1', 'u2'])
})

describe('a report without an instant that waits for the lock of the tenant row', () => {
  const WAIT_MS = 300
  const readStoredAt = async (userId: string) =>
    (await readRows(database)).users.find((user) => user.userId === userId)?.at
  const readDatabaseNow = async () => {
    const [row] = await database.query<{ now: number }>(
      `SELECT to_json(extract(epoch FROM clock_timestamp()) * 1000) AS now`,
    )
    return Number(row?.now)
  }

  // PostgreSQL reads its clock before the wait in the first case, and after the wait in the second case.
  test.each([
    ['does not change the row', 'SELECT FROM tenant FOR UPDATE'],
    ['changes the row', 'UPDATE tenant SET seq = seq + 1'],
  ])('gets the time at which it was made if the holder of the lock %s', async (_case, sql) => {
    const holder = new pg.Client(database.url)
    await holder.connect()
    onTestFinished(() => holder.end())
    await holder.query('BEGIN')
    await holder.query(sql)
    const madeAfter = Math.floor(await readDatabaseNow())
    const stored = store.storeReported(reportOf('waiting', { at: null }))
    const madeBefore = await readDatabaseNow()
    const readWaiting = () =>
      database.query(
        `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
      )
    await expect.poll(readWaiting).toHaveLength(1)
    await expect
      .poll(readDatabaseNow, { timeout: 3 * WAIT_MS })
      .toBeGreaterThan(madeBefore + WAIT_MS)
    // This report waits for the transaction of the first one.
    const next = store.storeReported(reportOf('next', { at: null }))
    await holder.query('COMMIT')
    const at = await stored
    expect(at).toBeGreaterThanOrEqual(madeAfter)
    expect(at).toBeLessThan(madeBefore + WAIT_MS)
    expect(await readStoredAt('waiting')).toBe(at)
    expect(await next).toBeGreaterThan(madeBefore + WAIT_MS)
    expect(await next).toBeLessThanOrEqual(await readDatabaseNow())
  })
})
