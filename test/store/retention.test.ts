import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { abortedError } from '../../src/errors.js'
import type { LastLogoutStore } from '../../src/ports.js'
import type { Batch, Unattributable } from '../../src/rules/batch.js'
import { fold } from '../../src/rules/fold.js'
import type { Executor } from '../../src/store/database.js'
import { Prisma } from '../../src/store/generated/client.js'
import { tablesIn } from '../../src/store/tables.js'
import { writeUnattributable } from '../../src/store/unattributable.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openTestStore, readRows } from '../_support/store.js'

const NOON = Date.parse('2026-11-23T12:00:00Z')
const DAY_MS = 86_400_000

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

const unattributable = (rows: Partial<Unattributable>[]): Batch => ({
  ...fold([]),
  unattributable: rows.map((row, n) => ({
    logId: `L${n}`,
    reason: 'no_subject',
    entry: '{}',
    ...row,
  })),
})
/** Returns unattributable entries with consecutive log ids. */
const entriesOf = (count: number, from = 0) =>
  unattributable(Array.from({ length: count }, (_, n) => ({ logId: `L${from + n}` })))
const readEntries = () =>
  database.query<{ id: string; reason: string }>('SELECT id, reason FROM unattributable')

/** Returns the query plan of a statement. */
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
    for (let page = 0; page < 13; page++) await store.storeBatch(entriesOf(100, page * 100))
    await store.storeBatch(unattributable([{ logId: 'other', reason: 'malformed' }]))
    await expect(readEntries()).resolves.toHaveLength(1_001)
    await expect(store.count()).resolves.toMatchObject({
      unattributable: { no_subject: 1_300, malformed: 1 },
    })
  })

  test('an unattributable entry is stored and counted once when it is read more than once', async () => {
    await store.storeBatch(entriesOf(500))
    await store.storeBatch(entriesOf(600))
    await store.storeBatch(unattributable([{ logId: 'twice' }, { logId: 'twice' }]))
    await expect(store.count()).resolves.toMatchObject({ unattributable: { no_subject: 601 } })
  })

  test('unattributable entries are stored again on the next day in UTC', async () => {
    await store.storeBatch(entriesOf(1_001))
    await database.query(
      `UPDATE unattributable SET received_at = date_trunc('day', now(), 'UTC') - interval '1 ms'`,
    )
    await store.storeBatch(entriesOf(10, 5_000))
    await expect(readEntries()).resolves.toHaveLength(1_010)
    await expect(store.count()).resolves.toMatchObject({ unattributable: { no_subject: 1_011 } })
  })

  test('a statement counts the unattributable entries of the day once, not once for each row', async () => {
    await store.storeBatch(entriesOf(1_000))
    const rows = entriesOf(200, 5_000).unattributable
    const plan = await explain((tx) => writeUnattributable(tx, rows))
    const loops = plan.matchAll(/ on unattributable counted.*?loops=(\d+)/g)
    expect([...loops].map(([, times]) => Number(times))).toEqual([1])
  })

  test('unattributable entries without a log id are distinguished by their content', async () => {
    const rows = ['1', '2', '1'].map((entry) => ({ logId: '', entry }))
    await store.storeBatch(unattributable(rows))
    await expect(readEntries()).resolves.toHaveLength(2)
  })
})

describe('pruning', () => {
  const RETAIN_MS = 60 * DAY_MS
  const sloEvent = (n: number, at: number) => ({
    logId: `L${n}`,
    type: 'slo',
    at,
    userId: `u${n}`,
    sessionId: `s${n}`,
  })
  /** The clock of the database. */
  let now = NOON
  let storeWithClock: LastLogoutStore & { close(): Promise<void> }
  beforeEach(async () => {
    now = NOON
    storeWithClock = await openTestStore(database, { now: () => now })
    await storeWithClock.setFirstCheckpoint('P0', null)
  })
  afterEach(() => storeWithClock.close())

  /**
   * Stores logouts one after another. Each logout happened at `date`, and is stored when the clock of the database
   * shows `at`.
   */
  const storeAt = async (...rows: { n: number; at: number; date?: number }[]) => {
    for (const { n, at, date = at } of rows) {
      now = at
      await storeWithClock.storeBatch({ ...fold([sloEvent(n, date)]), unattributable: [] })
    }
  }
  /** Sets the clock of the database, records that the log has been read up to now, and prunes. */
  const pruneAt = async (at: number, onBatch?: () => void) => {
    now = at
    await storeWithClock.storeCaughtUp('P0', at)
    return storeWithClock.prune(RETAIN_MS, onBatch)
  }
  const readSessions = async () =>
    (await readRows(database)).sessions.map(({ sessionId }) => sessionId)

  test('prune deletes sessions that changed before the limit, and keeps users, gaps and the floor', async () => {
    await storeAt({ n: 1, at: NOON - 1 }, { n: 2, at: NOON }, { n: 3, at: NOON + 1 })
    await storeWithClock.storeGap({ from: NOON - DAY_MS, to: NOON - 1, reason: 'retention' }, true)
    const counts = await pruneAt(NOON + RETAIN_MS)
    expect(counts).toEqual({ sessions: 1, unattributable: 0, forgotten: 0 })
    await expect(readSessions()).resolves.toEqual(['s2', 's3'])
    await expect(storeWithClock.count()).resolves.toMatchObject({ users: 3, gaps: 1 })
    await expect(storeWithClock.readProgress()).resolves.toMatchObject({ floorAt: NOON - 1 })
  })

  test('prune keeps a session whose logout was stored long after it happened', async () => {
    await storeAt({ n: 1, at: NOON, date: NOON - 70 * DAY_MS })
    await expect(pruneAt(NOON + DAY_MS)).resolves.toMatchObject({ sessions: 0 })
    await expect(readSessions()).resolves.toEqual(['s1'])
  })

  test('prune keeps sessions that are recent relative to as_of, even if the clock is far ahead', async () => {
    await storeAt({ n: 1, at: NOON })
    await storeWithClock.storeCaughtUp('P0', NOON)
    now = NOON + 10 * RETAIN_MS
    await expect(storeWithClock.prune(RETAIN_MS)).resolves.toMatchObject({ sessions: 0 })
    await expect(readSessions()).resolves.toEqual(['s1'])
  })

  test('prune deletes nothing before the first catch-up has ended', async () => {
    await storeAt({ n: 1, at: NOON })
    now = NOON + 10 * RETAIN_MS
    await expect(storeWithClock.prune(RETAIN_MS)).resolves.toMatchObject({ sessions: 0 })
  })

  test('prune deletes unattributable entries before the limit, and the counts of entries that were not stored', async () => {
    await store.storeBatch(entriesOf(1_005))
    await database.query(`UPDATE unattributable SET received_at = received_at - interval '61 days'`)
    await database.query(`UPDATE unattributable_excess SET day = day - 61`)
    await store.storeBatch(entriesOf(2, 9_000))
    await store.storeCaughtUp('P0', Date.now())
    await expect(store.prune(RETAIN_MS)).resolves.toEqual({
      sessions: 0,
      unattributable: 1_001,
      forgotten: 0,
    })
    await expect(store.count()).resolves.toMatchObject({ unattributable: { no_subject: 2 } })
  })

  test('prune skips a session that a writer has locked, without waiting', async () => {
    await storeAt({ n: 1, at: NOON - 2 }, { n: 2, at: NOON - 1 })
    const writer = new pg.Client({ connectionString: database.url })
    await writer.connect()
    await writer.query('BEGIN')
    await writer.query(
      `UPDATE session_logout SET seq = ${NOON + RETAIN_MS} * 1000 WHERE session_id = 's2'`,
    )
    await expect(pruneAt(NOON + RETAIN_MS)).resolves.toMatchObject({ sessions: 1 })
    await writer.query('COMMIT')
    await writer.end()
    await expect(pruneAt(NOON + RETAIN_MS)).resolves.toMatchObject({ sessions: 0 })
    await expect(readSessions()).resolves.toEqual(['s2'])
  })

  test('prune deletes nothing more after onBatch has thrown', async () => {
    await storeAt({ n: 1, at: NOON - 1 })
    const stop = () => {
      throw abortedError()
    }
    await expect(pruneAt(NOON + RETAIN_MS, stop)).rejects.toMatchObject({ code: 'ABORTED' })
    await expect(readSessions()).resolves.toEqual(['s1'])
  })

  test('prune deletes more rows than one statement can delete', async () => {
    await database.query(
      `INSERT INTO session_logout (session_id, at, ended, log_id, type, seq)
       SELECT n::text, $1, true, '', 'slo', n FROM generate_series(1, 25000) AS n`,
      [new Date(NOON)],
    )
    const counts = await pruneAt(NOON + RETAIN_MS)
    expect(counts).toEqual({ sessions: 25_000, unattributable: 0, forgotten: 0 })
  })
})

describe('a gap', () => {
  test('a gap extends a stored gap with the same beginning and an earlier end', async () => {
    const gap = { from: NOON, to: NOON + 1_000, reason: 'retention' } as const
    await expect(store.storeGap(gap, false)).resolves.toBe(true)
    await expect(store.storeGap(gap, false)).resolves.toBe(false)
    const detectedBefore = Date.now() - 2 * DAY_MS
    await database.query('UPDATE gap SET detected_at = $1', [new Date(detectedBefore)])
    await expect(store.storeGap({ ...gap, to: NOON + 500 }, false)).resolves.toBe(false)
    await expect(store.readGaps()).resolves.toEqual([{ ...gap, detectedAt: detectedBefore }])
    await expect(store.storeGap({ ...gap, to: NOON + 2_000 }, false)).resolves.toBe(true)
    const gaps = await store.readGaps()
    expect(gaps).toEqual([{ ...gap, to: NOON + 2_000, detectedAt: expect.any(Number) }])
    expect(gaps[0]?.detectedAt).toBeGreaterThan(Date.now() - DAY_MS)
  })

  test.each([
    ['just below the end of the gap', 999, false],
    ['at the end of the gap', 1_000, true],
  ])('with the floor %s, complete is %s', async (_floor, msAfterStart, complete) => {
    await store.setFirstCheckpoint('P0', null)
    await store.storeCaughtUp('P0', Date.now())
    const from = Date.now() - 60_000
    await store.storeGap({ from, to: from + 1_000, reason: 'retention' }, false)
    await expect(store.readKnownLogouts('u', null)).resolves.toMatchObject({ complete: false })
    await store.raiseFloor(from + msAfterStart)
    await expect(store.readKnownLogouts('u', null)).resolves.toMatchObject({ complete })
  })

  test('a gap raises the floor if requested, but never into the future', async () => {
    const to = Date.now() + 60_000
    await store.storeGap({ from: NOON, to, reason: 'empty_log' }, true)
    const { floorAt } = await store.readProgress()
    expect(floorAt).toBeLessThanOrEqual(Date.now())
    expect(floorAt).toBeGreaterThan(Date.now() - 5_000)
  })
})
