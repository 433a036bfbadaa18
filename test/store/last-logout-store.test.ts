import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import type { Batch } from '../../src/rules/batch.js'
import type { LogoutEvent } from '../../src/rules/entry.js'
import { fold } from '../../src/rules/fold.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { expectedRows, logoutEvents } from '../_support/expected-rows.js'
import { openProxy, READY_IN_TRANSACTION } from '../_support/proxy.js'
import { openTestStore, readRows } from '../_support/store.js'

const BEGIN = '90020261123100000000000000000000000000000000000000000000'
const NOON = Date.parse('2026-11-23T12:00:00Z')

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

const batch = (events: LogoutEvent[] = []): Batch => ({ ...fold(events), unattributable: [] })
const slo = (over: Partial<LogoutEvent> = {}): LogoutEvent => ({
  logId: 'L1',
  type: 'slo',
  at: NOON,
  userId: 'auth0|1',
  sessionId: 'S1',
  ...over,
})

describe('rows', () => {
  test('do not depend on the batches of the events, their order and their repetition (P2, P18, P19)', async () => {
    const batches = fc.array(fc.tuple(fc.nat(), fc.boolean()), { minLength: 60, maxLength: 60 })
    await fc.assert(
      fc.asyncProperty(logoutEvents, batches, async (events, draws) => {
        await database.query('TRUNCATE last_logout, session_logout')
        const parts = new Map<number, LogoutEvent[]>()
        for (const [index, event] of events.entries()) {
          const [draw = 0, twice = false] = draws[index] ?? []
          for (const part of twice ? [draw % 5, draw % 7] : [draw % 5]) {
            parts.set(part, [...(parts.get(part) ?? []), event])
          }
        }
        for (const part of parts.values()) await store.storeBatch(batch(part))
        expect(await readRows(database)).toEqual(expectedRows(events))
      }),
      { numRuns: 60 },
    )
  })

  test('never move back with two concurrent writers (P18)', async () => {
    const other = await openTestStore(database)
    const events = Array.from({ length: 40 }, (_, n) =>
      slo({ at: NOON + n, logId: `L${n}`, sessionId: n % 2 ? 'S1' : null }),
    )
    const writers = events.map((event, n) => (n % 2 ? store : other).storeBatch(batch([event])))
    await Promise.all(writers)
    await other.close()
    expect(await readRows(database)).toEqual(expectedRows(events))
  })

  test('that do not move forward keep their position in the change feed', async () => {
    await store.storeBatch(batch([slo()]))
    const [before] = await database.query('SELECT seq FROM last_logout')
    await store.storeBatch(batch([slo()]))
    await store.storeBatch(batch([slo({ at: NOON - 1, logId: 'L0' })]))
    expect(await database.query('SELECT seq FROM last_logout')).toEqual([before])
    await store.storeBatch(batch([slo({ at: NOON + 1 })]))
    expect(await database.query('SELECT seq FROM last_logout')).not.toEqual([before])
  })

  test('of one batch have distinct positions', async () => {
    const events = [
      slo(),
      slo({ userId: 'auth0|2', sessionId: 'S2' }),
      slo({ userId: null, sessionId: 'S3' }),
    ]
    await store.storeBatch(batch(events))
    const positions = await database.query<{ seq: string }>(
      'SELECT seq FROM last_logout UNION ALL SELECT seq FROM session_logout ORDER BY seq',
    )
    const [first = 0, ...rest] = positions.map(({ seq }) => Number(seq))
    expect(rest).toEqual([first + 1, first + 2, first + 3, first + 4])
    expect(await database.query('SELECT seq FROM tenant')).toEqual([{ seq: `${first + 4}` }])
  })

  test('can hold ids of the maximum length', async () => {
    const longest = '\u{ffff}'.repeat(800)
    await store.storeBatch(batch([slo({ userId: longest, sessionId: longest })]))
    expect((await readRows(database)).users).toMatchObject([{ userId: longest }])
  })
})

describe('the checkpoint', () => {
  const page = (from: string, next: string, events: LogoutEvent[] = []) => ({
    from,
    next,
    storedAt: NOON,
    batch: batch(events),
  })

  test('moves with the page in one transaction', async () => {
    await store.begin(BEGIN, null)
    await expect(store.storePage(page(BEGIN, 'P1', [slo()]))).resolves.toBe(true)
    await expect(store.readProgress()).resolves.toMatchObject({ checkpoint: 'P1' })
    expect((await readRows(database)).users).toHaveLength(1)
  })

  test('does not move, and nothing is stored, when the page was read from another checkpoint', async () => {
    await store.begin(BEGIN, null)
    await store.storePage(page(BEGIN, 'P1'))
    await expect(store.storePage(page(BEGIN, 'P2', [slo()]))).resolves.toBe(false)
    await expect(store.readProgress()).resolves.toMatchObject({ checkpoint: 'P1' })
    expect((await readRows(database)).users).toEqual([])
  })

  test('does not move when writing the page fails', async () => {
    await store.begin(BEGIN, null)
    await database.query('ALTER TABLE session_logout RENAME TO elsewhere')
    await expect(store.storePage(page(BEGIN, 'P1', [slo()]))).rejects.toThrow()
    await database.query('ALTER TABLE elsewhere RENAME TO session_logout')
    await expect(store.readProgress()).resolves.toMatchObject({ checkpoint: BEGIN })
    expect((await readRows(database)).users).toEqual([])
  })

  test('is set once by `begin`', async () => {
    await store.begin(BEGIN, null)
    await store.begin('another', { from: 1, to: 2 })
    await expect(store.readProgress()).resolves.toMatchObject({ checkpoint: BEGIN, sweep: null })
  })
})

describe('freshness', () => {
  test('is unknown until the first catch-up has ended, even when pages are stored', async () => {
    await store.begin(BEGIN, null)
    await store.storePage({ from: BEGIN, next: 'P1', storedAt: NOON, batch: batch() })
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: null })
    await store.storeCaughtUp('P1', NOON)
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: NOON })
  })

  test('is unknown until the sweep has ended', async () => {
    await store.begin(BEGIN, { from: NOON - 1000, to: NOON })
    await store.storeCaughtUp(BEGIN, NOON)
    await expect(store.readProgress()).resolves.toMatchObject({
      asOf: null,
      sweep: { from: NOON - 1000, to: NOON },
    })
    const parts = [
      { from: NOON - 400, to: NOON },
      { from: NOON - 1000, to: NOON - 400 },
    ]
    for (const part of parts) {
      await expect(store.storeSweep(batch(), part)).resolves.toBe(true)
      await store.storeCaughtUp(BEGIN, NOON)
    }
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: NOON, sweep: null })
  })

  test('does not advance with pages until the sweep has ended, and neither does completeness', async () => {
    await store.storeCaughtUp(null, NOON)
    await store.begin(BEGIN, { from: NOON - 1000, to: NOON })
    await store.storePage({ from: BEGIN, next: 'P1', storedAt: NOON + 7, batch: batch() })
    await expect(store.readKnown('x', null)).resolves.toMatchObject({ asOf: NOON, complete: false })
    await store.storeSweep(batch(), { from: NOON - 1000, to: NOON })
    await expect(store.readKnown('x', null)).resolves.toMatchObject({ asOf: NOON, complete: true })
  })

  test('stays unknown when a part of an earlier, replaced sweep has been stored', async () => {
    await store.begin(BEGIN, { from: NOON - 1000, to: NOON })
    const sweep = { from: NOON - 1000, to: NOON + 500 }
    await store.moveCheckpoint(BEGIN, 'P1', sweep)
    const part = { from: NOON - 1000, to: NOON }
    await expect(store.storeSweep(batch([slo()]), part)).resolves.toBe(false)
    await expect(store.readProgress()).resolves.toMatchObject({ sweep })
    expect((await readRows(database)).users).toHaveLength(1)
  })

  test('advances with the storage time of the pages, and never goes back', async () => {
    await store.begin(BEGIN, null)
    await store.storeCaughtUp(BEGIN, NOON)
    await store.storeCaughtUp(BEGIN, NOON - 1)
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: NOON })
    await store.storePage({ from: BEGIN, next: 'P1', storedAt: NOON - 1, batch: batch() })
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: NOON })
    await store.storePage({ from: 'P1', next: 'P2', storedAt: NOON + 7, batch: batch() })
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: NOON + 7 })
    await store.storePage({ from: 'P2', next: 'P3', storedAt: null, batch: batch() })
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: NOON + 7 })
  })

  test('does not advance for a catch-up from another checkpoint', async () => {
    await store.begin(BEGIN, null)
    await store.storeCaughtUp('another', NOON)
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: null })
  })
})

describe('the floor', () => {
  test('only rises, and is a change of the feed when it does', async () => {
    await expect(store.raiseFloor(NOON)).resolves.toBe(NOON)
    const risen = await store.readChanges({ after: null, since: null, limit: 10 })
    expect(risen?.changes).toEqual([{ kind: 'floor', at: NOON }])
    await expect(store.raiseFloor(NOON - 1)).resolves.toBe(NOON)
    await expect(store.raiseFloor(NOON)).resolves.toBe(NOON)
    const after = risen?.cursor ?? ''
    const same = await store.readChanges({ after, since: null, limit: 10 })
    expect(same?.changes).toEqual([])
    await expect(store.raiseFloor(NOON + 1)).resolves.toBe(NOON + 1)
    const again = await store.readChanges({ after, since: null, limit: 10 })
    expect(again?.changes).toEqual([{ kind: 'floor', at: NOON + 1 }])
  })

  test('is never in the future', async () => {
    await expect(store.raiseFloor(Date.now() + 60_000)).rejects.toBeInstanceOf(RangeError)
    await expect(store.readProgress()).resolves.toMatchObject({ floorAt: null })
  })
})

describe('knowledge', () => {
  test('of an unknown user and session is empty, with the freshness of the log', async () => {
    await store.begin(BEGIN, null)
    await store.storeCaughtUp(BEGIN, NOON)
    await expect(store.readKnown('unknown-user', 'unknown-session')).resolves.toEqual({
      user: null,
      session: null,
      floorAt: null,
      asOf: NOON,
      now: expect.any(Number),
      complete: true,
    })
  })

  test('of a user and a session is their stored rows', async () => {
    await store.storeBatch(batch([slo(), slo({ sessionId: null, at: NOON - 5 })]))
    await expect(store.readKnown('auth0|1', 'S1')).resolves.toEqual({
      user: { at: NOON, allSessionsAt: NOON - 5, logId: 'L1', type: 'slo' },
      session: { at: NOON, ended: true, logId: 'L1', type: 'slo' },
      floorAt: null,
      asOf: null,
      now: expect.any(Number),
      complete: false,
    })
    await expect(store.readKnown('auth0|1', null)).resolves.toMatchObject({ session: null })
  })

  test.each([
    [-1, true],
    [0, true],
    [1, false],
  ])(
    'is incomplete until the horizon of a gap: %d ms before it, complete is %s',
    async (left, complete) => {
      const horizonMs = 1000
      const judged = await openTestStore(database, {
        horizonMs,
        now: () => NOON + horizonMs - left,
      })
      await store.begin(BEGIN, null)
      await store.storeCaughtUp(BEGIN, NOON)
      await database.query(
        `INSERT INTO gap (from_at, to_at, reason) VALUES ($1::timestamptz - interval '1 hour', $1, 'outage')`,
        [new Date(NOON).toISOString()],
      )
      await expect(judged.readKnown('auth0|1', null)).resolves.toMatchObject({ complete })
      await judged.close()
    },
  )
})

describe('unattributable entries', () => {
  const rows = [
    { logId: 'L1', reason: 'no_subject', entry: '{"type":"slo"}' },
    { logId: '', reason: 'malformed', entry: '5' },
    { logId: '', reason: 'malformed', entry: '"\\u0000"' },
  ]

  test('are stored once when they are read more than once', async () => {
    for (const _ of [1, 2]) {
      await store.storeBatch({ users: [], sessions: [], unattributable: rows })
    }
    await expect(store.count()).resolves.toMatchObject({
      unattributable: { malformed: 2, no_subject: 1 },
    })
  })

  test('are truncated to the maximum length', async () => {
    const long = { logId: 'L2', reason: 'malformed', entry: 'x'.repeat(100_000) }
    await store.storeBatch({ users: [], sessions: [], unattributable: [long] })
    expect(await database.query('SELECT length(entry) FROM unattributable')).toEqual([
      { length: 8192 },
    ])
  })
})

describe('the lease', () => {
  test('is held by one owner, who can renew it', async () => {
    await expect(store.acquireLease('a', 60_000)).resolves.toBe(true)
    await expect(store.acquireLease('b', 60_000)).resolves.toBe(false)
    await expect(store.acquireLease('a', 60_000)).resolves.toBe(true)
  })

  test('can be acquired after its owner has released it', async () => {
    await store.acquireLease('a', 60_000)
    await store.releaseLease('b')
    await expect(store.acquireLease('b', 60_000)).resolves.toBe(false)
    await store.releaseLease('a')
    await expect(store.acquireLease('b', 60_000)).resolves.toBe(true)
  })

  test('can be acquired after it has expired', async () => {
    await store.acquireLease('a', 60_000)
    await database.query(`UPDATE tenant SET lease_until = now() - interval '1 ms'`)
    await expect(store.acquireLease('b', 60_000)).resolves.toBe(true)
  })

  test('is acquired by one of many concurrent callers', async () => {
    const attempts = Array.from({ length: 10 }, (_, n) => store.acquireLease(`w${n}`, 60_000))
    expect((await Promise.all(attempts)).filter(Boolean)).toHaveLength(1)
  })
})

/** Statements in the transaction of `claim` before its COMMIT. */
const STATEMENTS_OF_CLAIM = 5

describe('the database', () => {
  const endConnections = () =>
    database.query(`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid()`)

  test('without data can be claimed for another tenant', async () => {
    const other = await openTestStore(database, { domain: 'other.example' })
    await other.close()
    expect(await database.query('SELECT domain FROM tenant')).toEqual([{ domain: 'other.example' }])
  })

  test('of another tenant is rejected with an error that names both', async () => {
    await store.storeCaughtUp(null, NOON)
    const rejected = openTestStore(database, { domain: 'other.example' })
    await expect(rejected).rejects.toMatchObject({
      code: 'OTHER_TENANT',
      message: expect.stringMatching(/tenant\.example.*other\.example/),
    })
  })

  test('is reported as unavailable when its server is unreachable', async () => {
    const url = new URL(database.url)
    url.port = '1'
    const opening = openTestStore({ ...database, url: url.href })
    await expect(opening).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
  })

  test('is reported as unavailable after a timeout while it is unresponsive, and works again afterwards', async () => {
    const proxy = await openProxy(database.url)
    const timeouts = { connectTimeoutMs: 1_000, queryTimeoutMs: 1_000 }
    const unresponsive = await openTestStore({ ...database, url: proxy.url }, {}, timeouts)
    proxy.freeze()
    await expect(unresponsive.readProgress()).rejects.toMatchObject({
      code: 'DATABASE_UNAVAILABLE',
    })
    proxy.thaw()
    await expect(unresponsive.storeCaughtUp(null, NOON)).resolves.toBeUndefined()
    proxy.freeze()
    await expect(unresponsive.begin(BEGIN, null)).rejects.toMatchObject({
      code: 'DATABASE_UNAVAILABLE',
    })
    proxy.thaw()
    await expect(unresponsive.begin(BEGIN, null)).resolves.toBeUndefined()
    await unresponsive.close()
    await proxy.close()
  })

  test('is not sent a rollback when it becomes unresponsive within a transaction', async () => {
    // After the BEGIN of the transaction that follows the claim.
    const proxy = await openProxy(database.url, READY_IN_TRANSACTION, STATEMENTS_OF_CLAIM + 1)
    const timeouts = { connectTimeoutMs: 1_000, queryTimeoutMs: 1_000 }
    const unresponsive = await openTestStore({ ...database, url: proxy.url }, {}, timeouts)
    const startedAt = performance.now()
    const writing = unresponsive.begin(BEGIN, null)
    await expect(writing).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    // One timeout, not two.
    expect(performance.now() - startedAt).toBeLessThan(1_900)
    await unresponsive.close()
    await proxy.close()
  })

  test('accepts other writers after an unresponsive writer has lost the lock', async () => {
    // After the isolation level is set and the tenant row is locked.
    const proxy = await openProxy(database.url, READY_IN_TRANSACTION, STATEMENTS_OF_CLAIM + 3)
    // Longer than the time limit below: the server ends its transaction before the client gives up.
    const timeouts = { queryTimeoutMs: 4_000 }
    const unresponsive = await openTestStore(
      { url: proxy.url },
      { idleTransactionTimeoutMs: 500 },
      timeouts,
    )
    const writing = unresponsive.begin(BEGIN, null)
    const failing = expect(writing).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    const findLocks = () =>
      database.query(`SELECT FROM pg_locks WHERE relation = 'tenant'::regclass`)
    await expect.poll(findLocks, { interval: 5 }).not.toEqual([])
    const startedAt = performance.now()
    await expect(store.begin(BEGIN, null)).resolves.toBeUndefined()
    expect(performance.now() - startedAt).toBeLessThan(3_500)
    await failing
    await unresponsive.close()
    await proxy.close()
  })

  test('accepts the lease of another worker after an unresponsive one has lost its lock', async () => {
    // After the isolation level and the time limit are set, and the lease is written.
    const proxy = await openProxy(database.url, READY_IN_TRANSACTION, STATEMENTS_OF_CLAIM + 4)
    const unresponsive = await openTestStore(
      { url: proxy.url },
      { idleTransactionTimeoutMs: 500 },
      { queryTimeoutMs: 4_000 },
    )
    const acquiring = unresponsive.acquireLease('unresponsive', 60_000)
    const failing = expect(acquiring).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    const findLocks = () =>
      database.query(`
        SELECT FROM pg_locks WHERE relation = 'tenant'::regclass AND mode = 'RowExclusiveLock'`)
    await expect.poll(findLocks, { interval: 5 }).not.toEqual([])
    const startedAt = performance.now()
    await expect(store.acquireLease('other', 60_000)).resolves.toBe(true)
    expect(performance.now() - startedAt).toBeLessThan(3_500)
    await failing
    await unresponsive.close()
    await proxy.close()
  })

  test('accepts writes on new connections as soon as it is no longer read-only', async () => {
    const setReadOnly = (value: string) =>
      database.query(`
        BEGIN READ WRITE;
        ALTER DATABASE ${database.name} SET default_transaction_read_only = ${value};
        COMMIT`)
    // The setting applies to new connections, for their whole lifetime.
    await setReadOnly('on')
    await endConnections()
    await expect.poll(() => store.readProgress().catch(() => null)).not.toBeNull()
    const writing = store.begin(BEGIN, null)
    await expect(writing).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    await setReadOnly('off')
    await expect(store.begin(BEGIN, null)).resolves.toBeUndefined()
  })

  test('is not reported as unavailable for a programming error', async () => {
    await expect(store.storeCaughtUp(null, Number.NaN)).rejects.toBeInstanceOf(RangeError)
  })

  test('is available on new connections after it has closed the existing ones', async () => {
    await store.readProgress()
    await endConnections()
    await expect
      .poll(() =>
        store.readProgress().then(
          () => 'available',
          () => 'unavailable',
        ),
      )
      .toBe('available')
  })
})
