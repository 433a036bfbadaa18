import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { abortedError } from '../../src/errors.js'
import type { LastLogoutStore } from '../../src/ports.js'
import type { Batch, Unattributable } from '../../src/rules/batch.js'
import { fold } from '../../src/rules/fold.js'
import { DAY_MS } from '../../src/rules/instant.js'
import type { Executor } from '../../src/store/database.js'
import { Prisma } from '../../src/store/generated/client.js'
import { tablesIn } from '../../src/store/tables.js'
import { writeUnattributable } from '../../src/store/unattributable.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openTestStore, readRows } from '../_support/store.js'

// How long the store keeps rows: unattributable entries (entries of the log that may be logouts, but cannot be used),
// the last logouts of sessions, and gaps (spans of the log that Auth0 deleted before they were read).

const NOON = Date.parse('2026-11-23T12:00:00Z')

/** Values of the second argument of `storeGap`. */
const [RAISE_FLOOR, KEEP_FLOOR] = [true, false]

let database: TestDatabase
let store: LastLogoutStore & { close(): Promise<void> }
beforeEach(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database)
})
afterEach(async () => {
  await store.close()
  await database.drop()
})

/** Returns a batch of unattributable entries. The reason is `no_subject`, unless a row names another one. */
const batchOf = (rows: Partial<Unattributable>[]): Batch => ({
  ...fold([]),
  unattributable: rows.map((row, n) => ({
    logId: `L${n}`,
    reason: 'no_subject',
    entry: '{}',
    ...row,
  })),
})
/** Returns a batch of unattributable entries whose log ids are numbered from `firstNumber` on. */
const numberedEntries = (count: number, firstNumber = 0) =>
  batchOf(Array.from({ length: count }, (_, n) => ({ logId: `L${firstNumber + n}` })))
const readEntries = () =>
  database.query<{ id: string; reason: string }>('SELECT id, reason FROM unattributable')

/** Adds EXPLAIN ANALYZE to the statement that `run` sends, and runs it. Returns its query plan. */
async function explain(run: (tx: Executor) => Promise<void>): Promise<string> {
  let plan = ''
  const explainStatement = async (parts: TemplateStringsArray, ...values: unknown[]) => {
    const { text, values: parameters } = Prisma.sql(parts, ...values)
    const lines = await database.query(`EXPLAIN ANALYZE ${text}`, parameters)
    plan = lines.map((line) => line['QUERY PLAN']).join('\n')
    return 0
  }
  const tables = tablesIn('public')
  await run({
    $executeRaw: explainStatement as never,
    $queryRaw: explainStatement as never,
    tables,
  })
  return plan
}

describe('unattributable entries', () => {
  test('at most 1,000 unattributable entries are stored per reason and day, and all are counted', async () => {
    for (let page = 0; page < 13; page++) await store.storeBatch(numberedEntries(100, page * 100))
    await store.storeBatch(batchOf([{ logId: 'other', reason: 'malformed' }]))
    await expect(readEntries()).resolves.toHaveLength(1_000 + 1)
    await expect(store.count()).resolves.toMatchObject({
      unattributable: { no_subject: 1_300, malformed: 1 },
    })
  })

  test('an unattributable entry is stored and counted once when it is read more than once', async () => {
    await store.storeBatch(numberedEntries(500))
    // The first 500 of these entries are read again.
    await store.storeBatch(numberedEntries(600))
    await store.storeBatch(batchOf([{ logId: 'twice' }, { logId: 'twice' }]))
    await expect(store.count()).resolves.toMatchObject({ unattributable: { no_subject: 601 } })
  })

  test('the number of stored unattributable entries is limited anew on each day in UTC', async () => {
    await store.storeBatch(numberedEntries(1_001))
    // The stored entries are now from the last millisecond of yesterday.
    await database.query(
      `UPDATE unattributable SET received_at = date_trunc('day', now(), 'UTC') - interval '1 ms'`,
    )
    await store.storeBatch(numberedEntries(10, 5_000))
    await expect(readEntries()).resolves.toHaveLength(1_000 + 10)
    await expect(store.count()).resolves.toMatchObject({ unattributable: { no_subject: 1_011 } })
  })

  test('a write of unattributable entries counts the stored entries of the day once, not once for each row', async () => {
    await store.storeBatch(numberedEntries(1_000))
    const rows = numberedEntries(200, 5_000).unattributable
    const plan = await explain((tx) => writeUnattributable(tx, rows))
    // `counted` is the alias of the table in the part of the statement that counts.
    const scans = [...plan.matchAll(/ on unattributable counted.*?loops=(\d+)/g)]
    expect(scans.map(([, loops]) => Number(loops))).toEqual([1])
  })

  test('unattributable entries without a log id are distinguished by their content', async () => {
    const rows = ['1', '2', '1'].map((entry) => ({ logId: '', entry }))
    await store.storeBatch(batchOf(rows))
    await expect(readEntries()).resolves.toHaveLength(2)
  })
})

// `prune` deletes old rows. Their age is measured at `as_of`, the instant up to which the log is known to have been
// read, or at the current time of the database if that is earlier.
describe('prune', () => {
  const RETAIN_MS = 60 * DAY_MS
  const sloEvent = (n: number, at: number) => ({
    logId: `L${n}`,
    type: 'slo',
    at,
    userId: `u${n}`,
    sessionId: `s${n}`,
  })
  /** The current time by the clock of the database. Only `storeWithClock` uses this clock. */
  let now = NOON
  let storeWithClock: LastLogoutStore & { close(): Promise<void> }
  beforeEach(async () => {
    now = NOON
    storeWithClock = await openTestStore(database, { now: () => now })
    await storeWithClock.setFirstCheckpoint('P0', null)
  })
  afterEach(() => storeWithClock.close())

  /** Stores a logout of session `n` while the clock of the database shows `storedAt`. */
  const storeLogout = async (n: number, storedAt: number, happenedAt = storedAt) => {
    now = storedAt
    await storeWithClock.storeBatch({ ...fold([sloEvent(n, happenedAt)]), unattributable: [] })
  }
  /** Sets the clock of the database, records that the log has been read up to now, and prunes. */
  const pruneAt = async (at: number, onBatch?: () => void) => {
    now = at
    await storeWithClock.storeCaughtUp('P0', at)
    return storeWithClock.prune(RETAIN_MS, onBatch)
  }
  const readSessions = async () =>
    (await readRows(database)).sessions.map(({ sessionId }) => sessionId)

  test('prune deletes sessions that changed longer than 60 days ago, and keeps users, gaps and the floor', async () => {
    await storeLogout(1, NOON - 1)
    await storeLogout(2, NOON)
    await storeLogout(3, NOON + 1)
    await storeWithClock.storeGap(
      { from: NOON - DAY_MS, to: NOON - 1, reason: 'retention' },
      RAISE_FLOOR,
    )
    const counts = await pruneAt(NOON + RETAIN_MS)
    expect(counts).toEqual({ sessions: 1, unattributable: 0, forgotten: 0 })
    await expect(readSessions()).resolves.toEqual(['s2', 's3'])
    await expect(storeWithClock.count()).resolves.toMatchObject({ users: 3, gaps: 1 })
    await expect(storeWithClock.readProgress()).resolves.toMatchObject({ floorAt: NOON - 1 })
  })

  test('prune keeps a session whose logout was stored long after it happened', async () => {
    await storeLogout(1, NOON, NOON - 70 * DAY_MS)
    await expect(pruneAt(NOON + DAY_MS)).resolves.toMatchObject({ sessions: 0 })
    await expect(readSessions()).resolves.toEqual(['s1'])
  })

  test('prune keeps a session that changed shortly before as_of, even if the clock of the database is far ahead', async () => {
    await storeLogout(1, NOON)
    await storeWithClock.storeCaughtUp('P0', NOON)
    now = NOON + 10 * RETAIN_MS
    await expect(storeWithClock.prune(RETAIN_MS)).resolves.toMatchObject({ sessions: 0 })
    await expect(readSessions()).resolves.toEqual(['s1'])
  })

  test('prune deletes nothing until the log has been read to its end once', async () => {
    await storeLogout(1, NOON)
    now = NOON + 10 * RETAIN_MS
    await expect(storeWithClock.prune(RETAIN_MS)).resolves.toMatchObject({ sessions: 0 })
  })

  test('prune deletes unattributable entries from 61 days ago, and the count of the entries that were not stored', async () => {
    await store.storeBatch(numberedEntries(1_005))
    await database.query(`UPDATE unattributable SET received_at = received_at - interval '61 days'`)
    await database.query(`UPDATE unattributable_excess SET day = day - 61`)
    await store.storeBatch(numberedEntries(2, 9_000))
    await store.storeCaughtUp('P0', Date.now())
    // 1,000 entries were stored. The other 5 are counted in one row.
    await expect(store.prune(RETAIN_MS)).resolves.toEqual({
      sessions: 0,
      unattributable: 1_000 + 1,
      forgotten: 0,
    })
    await expect(store.count()).resolves.toMatchObject({ unattributable: { no_subject: 2 } })
  })

  test('prune skips a session that another writer has locked, and keeps it if that writer has changed it', async () => {
    await storeLogout(1, NOON - 2)
    await storeLogout(2, NOON - 1)
    const writer = new pg.Client({ connectionString: database.url })
    await writer.connect()
    await writer.query('BEGIN')
    // `seq` is the time of the last change, in microseconds.
    await writer.query(
      `UPDATE session_logout SET seq = ${NOON + RETAIN_MS} * 1000 WHERE session_id = 's2'`,
    )
    await expect(pruneAt(NOON + RETAIN_MS)).resolves.toMatchObject({ sessions: 1 })
    await writer.query('COMMIT')
    await writer.end()
    await expect(pruneAt(NOON + RETAIN_MS)).resolves.toMatchObject({ sessions: 0 })
    await expect(readSessions()).resolves.toEqual(['s2'])
  })

  test('prune calls onBatch before it deletes, and deletes nothing after onBatch has thrown', async () => {
    await storeLogout(1, NOON - 1)
    const stop = () => {
      throw abortedError()
    }
    await expect(pruneAt(NOON + RETAIN_MS, stop)).rejects.toMatchObject({ code: 'ABORTED' })
    await expect(readSessions()).resolves.toEqual(['s1'])
  })

  test('prune deletes 25,000 rows, although each of its statements deletes at most 10,000', async () => {
    await database.query(
      `INSERT INTO session_logout (session_id, at, ended, log_id, type, seq)
       SELECT n::text, $1, true, '', 'slo', n FROM generate_series(1, 25000) AS n`,
      [new Date(NOON)],
    )
    const counts = await pruneAt(NOON + RETAIN_MS)
    expect(counts).toEqual({ sessions: 25_000, unattributable: 0, forgotten: 0 })
  })
})

// The floor is an instant for the whole tenant. It revokes the tokens of all users whose login is not after it.
describe('a gap', () => {
  test('a gap extends a stored gap with the same beginning and an earlier end', async () => {
    const gap = { from: NOON, to: NOON + 1_000, reason: 'retention' } as const
    await expect(store.storeGap(gap, KEEP_FLOOR)).resolves.toBe(true)
    await expect(store.storeGap(gap, KEEP_FLOOR)).resolves.toBe(false)
    const detectedAt = Date.now() - 2 * DAY_MS
    await database.query('UPDATE gap SET detected_at = $1', [new Date(detectedAt)])
    const shorterGap = { ...gap, to: NOON + 500 }
    await expect(store.storeGap(shorterGap, KEEP_FLOOR)).resolves.toBe(false)
    await expect(store.readGaps()).resolves.toEqual([{ ...gap, detectedAt }])
    const longerGap = { ...gap, to: NOON + 2_000 }
    await expect(store.storeGap(longerGap, KEEP_FLOOR)).resolves.toBe(true)
    const gaps = await store.readGaps()
    expect(gaps).toEqual([{ ...longerGap, detectedAt: expect.any(Number) }])
    expect(gaps[0]?.detectedAt, 'the time of the extension').toBeGreaterThan(Date.now() - DAY_MS)
  })

  test.each([
    ['a millisecond before the end of a gap', false, -1],
    ['at the end of a gap', true, 0],
  ])(
    'with a floor %s, readKnownLogouts returns complete: %s',
    async (_floor, complete, offsetMs) => {
      await store.setFirstCheckpoint('P0', null)
      await store.storeCaughtUp('P0', Date.now())
      const from = Date.now() - 60_000
      const to = from + 1_000
      await store.storeGap({ from, to, reason: 'retention' }, KEEP_FLOOR)
      await expect(store.readKnownLogouts('u', null)).resolves.toMatchObject({ complete: false })
      await store.raiseFloor(to + offsetMs)
      await expect(store.readKnownLogouts('u', null)).resolves.toMatchObject({ complete })
    },
  )

  test('storeGap raises the floor if requested, but never into the future', async () => {
    const to = Date.now() + 60_000
    await store.storeGap({ from: NOON, to, reason: 'empty_log' }, RAISE_FLOOR)
    const { floorAt } = await store.readProgress()
    expect(floorAt).toBeLessThanOrEqual(Date.now())
    expect(floorAt).toBeGreaterThan(Date.now() - 5_000)
  })
})

// Otherwise, a migration that runs at the same time could end in a deadlock.
test('count locks the tenant row before all other tables, as the migrations do', async () => {
  const holder = new pg.Client(database.url)
  await holder.connect()
  await holder.query('BEGIN; LOCK TABLE tenant')
  const counted = store.count()
  const readLocks = () =>
    database.query(
      `SELECT relation::regclass::text AS name, granted FROM pg_locks
       WHERE pid IN (SELECT pid FROM pg_locks WHERE relation = 'tenant'::regclass AND NOT granted)
         AND relation IN ('tenant'::regclass, 'last_logout'::regclass, 'session_logout'::regclass,
           'gap'::regclass, 'unattributable'::regclass, 'unattributable_excess'::regclass)`,
    )
  await expect.poll(readLocks).toEqual([{ name: 'tenant', granted: false }])
  await holder.end()
  expect(await counted).toMatchObject({ users: 0 })
})
