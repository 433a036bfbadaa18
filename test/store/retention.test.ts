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
const DAY = 86_400_000

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
const many = (count: number, from = 0) =>
  unattributable(Array.from({ length: count }, (_, n) => ({ logId: `L${from + n}` })))
const readKept = () =>
  database.query<{ id: string; reason: string }>('SELECT id, reason FROM unattributable')

/** Returns the query plan of a statement. */
async function explain(run: (tx: Executor) => Promise<void>): Promise<string> {
  let plan = ''
  const prepared = async (parts: TemplateStringsArray, ...values: unknown[]) => {
    const { text, values: flat } = Prisma.sql(parts, ...values)
    const lines = await database.query(`EXPLAIN ANALYZE ${text}`, flat)
    plan = lines.map((line) => line['QUERY PLAN']).join('\n')
    return 0
  }
  const tables = tablesIn('public')
  await run({ $executeRaw: prepared as never, $queryRaw: prepared as never, tables })
  return plan
}

describe('unattributable entries', () => {
  test('are stored up to 1,000 per reason and day, and all are counted', async () => {
    for (let page = 0; page < 13; page++) await store.storeBatch(many(100, page * 100))
    await store.storeBatch(unattributable([{ logId: 'other', reason: 'malformed' }]))
    await expect(readKept()).resolves.toHaveLength(1_001)
    await expect(store.count()).resolves.toMatchObject({
      unattributable: { no_subject: 1_300, malformed: 1 },
    })
  })

  test('are stored and counted once when they are read more than once', async () => {
    await store.storeBatch(many(500))
    await store.storeBatch(many(600))
    await store.storeBatch(unattributable([{ logId: 'twice' }, { logId: 'twice' }]))
    await expect(store.count()).resolves.toMatchObject({ unattributable: { no_subject: 601 } })
  })

  test('are stored again on the next day in UTC', async () => {
    await store.storeBatch(many(1_001))
    await database.query(
      `UPDATE unattributable SET received_at = date_trunc('day', now(), 'UTC') - interval '1 ms'`,
    )
    await store.storeBatch(many(10, 5_000))
    await expect(readKept()).resolves.toHaveLength(1_010)
    await expect(store.count()).resolves.toMatchObject({ unattributable: { no_subject: 1_011 } })
  })

  test('are stored with one count of the day for the whole batch', async () => {
    await store.storeBatch(many(1_000))
    const rows = many(200, 5_000).unattributable
    const plan = await explain((tx) => writeUnattributable(tx, rows))
    const loops = plan.matchAll(/ on unattributable counted.*?loops=(\d+)/g)
    expect([...loops].map(([, times]) => Number(times))).toEqual([1])
  })

  test('without a log id are distinguished by their content', async () => {
    const rows = ['1', '2', '1'].map((entry) => ({ logId: '', entry }))
    await store.storeBatch(unattributable(rows))
    await expect(readKept()).resolves.toHaveLength(2)
  })
})

describe('pruning', () => {
  const RETAIN_MS = 60 * DAY
  const slo = (n: number, at: number) => ({
    logId: `L${n}`,
    type: 'slo',
    at,
    userId: `u${n}`,
    sessionId: `s${n}`,
  })
  /** The clock of the database. */
  let now = NOON
  let clocked: LastLogoutStore & { close(): Promise<void> }
  beforeEach(async () => {
    now = NOON
    clocked = await openTestStore(database, { now: () => now })
    await clocked.begin('P0', null)
  })
  afterEach(() => clocked.close())

  /** Stores logouts at their instants, one after the other. */
  const storeAt = async (...rows: { n: number; at: number; date?: number }[]) => {
    for (const { n, at, date = at } of rows) {
      now = at
      await clocked.storeBatch({ ...fold([slo(n, date)]), unattributable: [] })
    }
  }
  /** Records that the log has been read up to an instant, then prunes at that instant. */
  const pruneAt = async (at: number, onBatch?: () => void) => {
    now = at
    await clocked.storeCaughtUp('P0', at)
    return clocked.prune(RETAIN_MS, onBatch)
  }
  const readSessions = async () =>
    (await readRows(database)).sessions.map(({ sessionId }) => sessionId)

  test('deletes sessions that changed before the limit, and keeps users, gaps and the floor', async () => {
    await storeAt({ n: 1, at: NOON - 1 }, { n: 2, at: NOON }, { n: 3, at: NOON + 1 })
    await clocked.storeGap({ from: NOON - DAY, to: NOON - 1, reason: 'retention' }, true)
    const pruned = await pruneAt(NOON + RETAIN_MS)
    expect(pruned).toEqual({ sessions: 1, unattributable: 0, forgotten: 0 })
    await expect(readSessions()).resolves.toEqual(['s2', 's3'])
    await expect(clocked.count()).resolves.toMatchObject({ users: 3, gaps: 1 })
    await expect(clocked.readProgress()).resolves.toMatchObject({ floorAt: NOON - 1 })
  })

  test('keeps a session whose logout was stored long after it happened', async () => {
    await storeAt({ n: 1, at: NOON, date: NOON - 70 * DAY })
    await expect(pruneAt(NOON + DAY)).resolves.toMatchObject({ sessions: 0 })
    await expect(readSessions()).resolves.toEqual(['s1'])
  })

  test('keeps sessions that are recent at as_of when the clock is far ahead', async () => {
    await storeAt({ n: 1, at: NOON })
    await clocked.storeCaughtUp('P0', NOON)
    now = NOON + 10 * RETAIN_MS
    await expect(clocked.prune(RETAIN_MS)).resolves.toMatchObject({ sessions: 0 })
    await expect(readSessions()).resolves.toEqual(['s1'])
  })

  test('deletes nothing before the first catch-up has ended', async () => {
    await storeAt({ n: 1, at: NOON })
    now = NOON + 10 * RETAIN_MS
    await expect(clocked.prune(RETAIN_MS)).resolves.toMatchObject({ sessions: 0 })
  })

  test('deletes unattributable entries before the limit, and their excess counts', async () => {
    await store.storeBatch(many(1_005))
    await database.query(`UPDATE unattributable SET received_at = received_at - interval '61 days'`)
    await database.query(`UPDATE unattributable_excess SET day = day - 61`)
    await store.storeBatch(many(2, 9_000))
    await store.storeCaughtUp('P0', Date.now())
    await expect(store.prune(RETAIN_MS)).resolves.toEqual({
      sessions: 0,
      unattributable: 1_001,
      forgotten: 0,
    })
    await expect(store.count()).resolves.toMatchObject({ unattributable: { no_subject: 2 } })
  })

  test('skips a session that a writer has locked, without waiting', async () => {
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

  test('aborts before the next statement when the callback throws', async () => {
    await storeAt({ n: 1, at: NOON - 1 })
    const stop = () => {
      throw abortedError()
    }
    await expect(pruneAt(NOON + RETAIN_MS, stop)).rejects.toMatchObject({ code: 'ABORTED' })
    await expect(readSessions()).resolves.toEqual(['s1'])
  })

  test('deletes more rows than fit into one statement', async () => {
    await database.query(
      `INSERT INTO session_logout (session_id, at, ended, log_id, type, seq)
       SELECT n::text, $1, true, '', 'slo', n FROM generate_series(1, 25000) AS n`,
      [new Date(NOON)],
    )
    const pruned = await pruneAt(NOON + RETAIN_MS)
    expect(pruned).toEqual({ sessions: 25_000, unattributable: 0, forgotten: 0 })
  })
})

describe('a gap', () => {
  test('with the same beginning as another is the same gap, which can grow', async () => {
    const gap = { from: NOON, to: NOON + 1_000, reason: 'retention' } as const
    await expect(store.storeGap(gap, false)).resolves.toBe(true)
    await expect(store.storeGap(gap, false)).resolves.toBe(false)
    const before = Date.now() - 2 * DAY
    await database.query('UPDATE gap SET detected_at = $1', [new Date(before)])
    await expect(store.storeGap({ ...gap, to: NOON + 500 }, false)).resolves.toBe(false)
    await expect(store.readGaps()).resolves.toEqual([{ ...gap, detectedAt: before }])
    await expect(store.storeGap({ ...gap, to: NOON + 2_000 }, false)).resolves.toBe(true)
    const [stored, ...rest] = await store.readGaps()
    expect(stored).toEqual({ ...gap, to: NOON + 2_000, detectedAt: expect.any(Number) })
    expect(stored?.detectedAt).toBeGreaterThan(Date.now() - DAY)
    expect(rest).toEqual([])
  })

  test.each([
    ['just below its end', 999, false],
    ['at its end', 1_000, true],
  ])(
    'does not affect completeness below the floor: with the floor %s complete is %s',
    async (_where, above, complete) => {
      await store.begin('P0', null)
      await store.storeCaughtUp('P0', Date.now())
      const from = Date.now() - 60_000
      await store.storeGap({ from, to: from + 1_000, reason: 'retention' }, false)
      await expect(store.readKnown('u', null)).resolves.toMatchObject({ complete: false })
      await store.raiseFloor(from + above)
      await expect(store.readKnown('u', null)).resolves.toMatchObject({ complete })
    },
  )

  test('raises the floor if requested, never to the future', async () => {
    const to = Date.now() + 60_000
    await store.storeGap({ from: NOON, to, reason: 'empty_log' }, true)
    const { floorAt } = await store.readProgress()
    expect(floorAt).toBeLessThanOrEqual(Date.now())
    expect(floorAt).toBeGreaterThan(Date.now() - 5_000)
  })
})
