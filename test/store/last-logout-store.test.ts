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

const CHECKPOINT = '90020261123100000000000000000000000000000000000000000000'
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
const logout = (overrides: Partial<LogoutEvent> = {}): LogoutEvent => ({
  logId: 'L1',
  type: 'slo',
  at: NOON,
  userId: 'auth0|1',
  sessionId: 'S1',
  ...overrides,
})

describe('rows', () => {
  test('the rows are the same for any batches, order and repetition of the events (pitfalls 2, 18, 19)', async () => {
    const choices = fc.array(fc.tuple(fc.nat(), fc.boolean()), { minLength: 60, maxLength: 60 })
    await fc.assert(
      fc.asyncProperty(logoutEvents, choices, async (events, batchChoices) => {
        await database.query('TRUNCATE last_logout, session_logout')
        const batches = new Map<number, LogoutEvent[]>()
        for (const [index, event] of events.entries()) {
          const [number = 0, isRepeated = false] = batchChoices[index] ?? []
          for (const key of isRepeated ? [number % 5, number % 7] : [number % 5]) {
            batches.set(key, [...(batches.get(key) ?? []), event])
          }
        }
        for (const eventsOfBatch of batches.values()) await store.storeBatch(batch(eventsOfBatch))
        expect(await readRows(database)).toEqual(expectedRows(events))
      }),
      { numRuns: 60 },
    )
  })

  test('rows never move back with two concurrent writers (pitfall 18)', async () => {
    const otherStore = await openTestStore(database)
    const events = Array.from({ length: 40 }, (_, n) =>
      logout({ at: NOON + n, logId: `L${n}`, sessionId: n % 2 ? 'S1' : null }),
    )
    const writers = events.map((event, n) =>
      (n % 2 ? store : otherStore).storeBatch(batch([event])),
    )
    await Promise.all(writers)
    await otherStore.close()
    expect(await readRows(database)).toEqual(expectedRows(events))
  })

  test('a row that does not move forward keeps its position in the change feed', async () => {
    await store.storeBatch(batch([logout()]))
    const [rowBefore] = await database.query('SELECT seq FROM last_logout')
    await store.storeBatch(batch([logout()]))
    await store.storeBatch(batch([logout({ at: NOON - 1, logId: 'L0' })]))
    expect(await database.query('SELECT seq FROM last_logout')).toEqual([rowBefore])
    await store.storeBatch(batch([logout({ at: NOON + 1 })]))
    expect(await database.query('SELECT seq FROM last_logout')).not.toEqual([rowBefore])
  })

  test('the rows of one batch have distinct positions', async () => {
    const events = [
      logout(),
      logout({ userId: 'auth0|2', sessionId: 'S2' }),
      logout({ userId: null, sessionId: 'S3' }),
    ]
    await store.storeBatch(batch(events))
    const positions = await database.query<{ seq: string }>(
      'SELECT seq FROM last_logout UNION ALL SELECT seq FROM session_logout ORDER BY seq',
    )
    const numbers = positions.map(({ seq }) => Number(seq))
    const [first = 0] = numbers
    expect(numbers).toEqual([first, first + 1, first + 2, first + 3, first + 4])
    expect(await database.query('SELECT seq FROM tenant')).toEqual([{ seq: `${first + 4}` }])
  })

  test('a row can contain ids of the maximum length', async () => {
    const maxLengthId = '\u{ffff}'.repeat(800)
    await store.storeBatch(batch([logout({ userId: maxLengthId, sessionId: maxLengthId })]))
    expect((await readRows(database)).users).toMatchObject([{ userId: maxLengthId }])
  })
})

describe('the checkpoint', () => {
  const page = (from: string, next: string, events: LogoutEvent[] = []) => ({
    from,
    next,
    storedAt: NOON,
    batch: batch(events),
  })

  test('the checkpoint moves with the page in one transaction', async () => {
    await store.setFirstCheckpoint(CHECKPOINT, null)
    await expect(store.storePage(page(CHECKPOINT, 'P1', [logout()]))).resolves.toBe(true)
    await expect(store.readProgress()).resolves.toMatchObject({ checkpoint: 'P1' })
    expect((await readRows(database)).users).toHaveLength(1)
  })

  test('a page from another checkpoint moves nothing and stores nothing', async () => {
    await store.setFirstCheckpoint(CHECKPOINT, null)
    await store.storePage(page(CHECKPOINT, 'P1'))
    await expect(store.storePage(page(CHECKPOINT, 'P2', [logout()]))).resolves.toBe(false)
    await expect(store.readProgress()).resolves.toMatchObject({ checkpoint: 'P1' })
    expect((await readRows(database)).users).toEqual([])
  })

  test('the checkpoint does not move when writing the page fails', async () => {
    await store.setFirstCheckpoint(CHECKPOINT, null)
    await database.query('ALTER TABLE session_logout RENAME TO renamed')
    await expect(store.storePage(page(CHECKPOINT, 'P1', [logout()]))).rejects.toThrow()
    await database.query('ALTER TABLE renamed RENAME TO session_logout')
    await expect(store.readProgress()).resolves.toMatchObject({ checkpoint: CHECKPOINT })
    expect((await readRows(database)).users).toEqual([])
  })

  test('setFirstCheckpoint sets the checkpoint only if there is none', async () => {
    await store.setFirstCheckpoint(CHECKPOINT, null)
    await store.setFirstCheckpoint('another', { from: 1, to: 2 })
    await expect(store.readProgress()).resolves.toMatchObject({
      checkpoint: CHECKPOINT,
      sweep: null,
    })
  })
})

describe('freshness', () => {
  test('as_of is null until the first catch-up has ended, even when pages are stored', async () => {
    await store.setFirstCheckpoint(CHECKPOINT, null)
    await store.storePage({ from: CHECKPOINT, next: 'P1', storedAt: NOON, batch: batch() })
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: null })
    await store.storeCaughtUp('P1', NOON)
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: NOON })
  })

  test('as_of is null until the first sweep is complete', async () => {
    await store.setFirstCheckpoint(CHECKPOINT, { from: NOON - 1000, to: NOON })
    await store.storeCaughtUp(CHECKPOINT, NOON)
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
      await store.storeCaughtUp(CHECKPOINT, NOON)
    }
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: NOON, sweep: null })
  })

  test('until the sweep is complete, as_of does not advance with pages, and complete is false', async () => {
    await store.storeCaughtUp(null, NOON)
    await store.setFirstCheckpoint(CHECKPOINT, { from: NOON - 1000, to: NOON })
    await store.storePage({ from: CHECKPOINT, next: 'P1', storedAt: NOON + 7, batch: batch() })
    await expect(store.readKnownLogouts('x', null)).resolves.toMatchObject({
      asOf: NOON,
      complete: false,
    })
    await store.storeSweep(batch(), { from: NOON - 1000, to: NOON })
    await expect(store.readKnownLogouts('x', null)).resolves.toMatchObject({
      asOf: NOON,
      complete: true,
    })
  })

  test('storeSweep does not shrink the span of a new sweep if the part belongs to the earlier sweep', async () => {
    await store.setFirstCheckpoint(CHECKPOINT, { from: NOON - 1000, to: NOON })
    const sweep = { from: NOON - 1000, to: NOON + 500 }
    await store.moveCheckpoint(CHECKPOINT, 'P1', sweep)
    const part = { from: NOON - 1000, to: NOON }
    await expect(store.storeSweep(batch([logout()]), part)).resolves.toBe(false)
    await expect(store.readProgress()).resolves.toMatchObject({ sweep })
    expect((await readRows(database)).users).toHaveLength(1)
  })

  test('as_of advances with the storage time of the pages, and never moves back', async () => {
    await store.setFirstCheckpoint(CHECKPOINT, null)
    await store.storeCaughtUp(CHECKPOINT, NOON)
    await store.storeCaughtUp(CHECKPOINT, NOON - 1)
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: NOON })
    await store.storePage({ from: CHECKPOINT, next: 'P1', storedAt: NOON - 1, batch: batch() })
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: NOON })
    await store.storePage({ from: 'P1', next: 'P2', storedAt: NOON + 7, batch: batch() })
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: NOON + 7 })
    await store.storePage({ from: 'P2', next: 'P3', storedAt: null, batch: batch() })
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: NOON + 7 })
  })

  test('as_of does not advance for a catch-up from another checkpoint', async () => {
    await store.setFirstCheckpoint(CHECKPOINT, null)
    await store.storeCaughtUp('another', NOON)
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: null })
  })
})

describe('the floor', () => {
  test('the floor only rises, and each raise is a change of the feed', async () => {
    await expect(store.raiseFloor(NOON)).resolves.toBe(NOON)
    const pageAfterRaise = await store.readChanges({ after: null, since: null, limit: 10 })
    expect(pageAfterRaise?.changes).toEqual([{ kind: 'floor', at: NOON }])
    await expect(store.raiseFloor(NOON - 1)).resolves.toBe(NOON)
    await expect(store.raiseFloor(NOON)).resolves.toBe(NOON)
    const after = pageAfterRaise?.cursor ?? ''
    const pageWithoutRaise = await store.readChanges({ after, since: null, limit: 10 })
    expect(pageWithoutRaise?.changes).toEqual([])
    await expect(store.raiseFloor(NOON + 1)).resolves.toBe(NOON + 1)
    const pageAfterSecondRaise = await store.readChanges({ after, since: null, limit: 10 })
    expect(pageAfterSecondRaise?.changes).toEqual([{ kind: 'floor', at: NOON + 1 }])
  })

  test('the floor is never in the future', async () => {
    await expect(store.raiseFloor(Date.now() + 60_000)).rejects.toBeInstanceOf(RangeError)
    await expect(store.readProgress()).resolves.toMatchObject({ floorAt: null })
  })
})

describe('readKnownLogouts', () => {
  test('readKnownLogouts returns no logout of an unknown user and session, with the freshness of the log', async () => {
    await store.setFirstCheckpoint(CHECKPOINT, null)
    await store.storeCaughtUp(CHECKPOINT, NOON)
    await expect(store.readKnownLogouts('unknown-user', 'unknown-session')).resolves.toEqual({
      user: null,
      session: null,
      floorAt: null,
      asOf: NOON,
      now: expect.any(Number),
      complete: true,
    })
  })

  test('readKnownLogouts returns the stored rows of a user and a session', async () => {
    await store.storeBatch(batch([logout(), logout({ sessionId: null, at: NOON - 5 })]))
    await expect(store.readKnownLogouts('auth0|1', 'S1')).resolves.toEqual({
      user: { at: NOON, allSessionsAt: NOON - 5, logId: 'L1', type: 'slo' },
      session: { at: NOON, ended: true, logId: 'L1', type: 'slo' },
      floorAt: null,
      asOf: null,
      now: expect.any(Number),
      complete: false,
    })
    await expect(store.readKnownLogouts('auth0|1', null)).resolves.toMatchObject({ session: null })
  })

  test.each([
    [-1, true],
    [0, true],
    [1, false],
  ])(
    '%d ms before the last token that a gap concerns expires, complete is %s',
    async (remainingMs, complete) => {
      const horizonMs = 1000
      const storeAtHorizon = await openTestStore(database, {
        horizonMs,
        now: () => NOON + horizonMs - remainingMs,
      })
      await store.setFirstCheckpoint(CHECKPOINT, null)
      await store.storeCaughtUp(CHECKPOINT, NOON)
      await database.query(
        `INSERT INTO gap (from_at, to_at, reason) VALUES ($1::timestamptz - interval '1 hour', $1, 'outage')`,
        [new Date(NOON).toISOString()],
      )
      await expect(storeAtHorizon.readKnownLogouts('auth0|1', null)).resolves.toMatchObject({
        complete,
      })
      await storeAtHorizon.close()
    },
  )
})

describe('unattributable entries', () => {
  const rows = [
    { logId: 'L1', reason: 'no_subject', entry: '{"type":"slo"}' },
    { logId: '', reason: 'malformed', entry: '5' },
    { logId: '', reason: 'malformed', entry: '"\\u0000"' },
  ]

  test('an unattributable entry is stored once when it is read more than once', async () => {
    for (const _ of [1, 2]) {
      await store.storeBatch({ users: [], sessions: [], unattributable: rows })
    }
    await expect(store.count()).resolves.toMatchObject({
      unattributable: { malformed: 2, no_subject: 1 },
    })
  })

  test('an unattributable entry is truncated to the maximum length', async () => {
    const longEntry = { logId: 'L2', reason: 'malformed', entry: 'x'.repeat(100_000) }
    await store.storeBatch({ users: [], sessions: [], unattributable: [longEntry] })
    expect(await database.query('SELECT length(entry) FROM unattributable')).toEqual([
      { length: 8192 },
    ])
  })
})

describe('the lease', () => {
  test('only one owner holds the lease, and can renew it', async () => {
    await expect(store.acquireLease('a', 60_000)).resolves.not.toBeNull()
    await expect(store.acquireLease('b', 60_000)).resolves.toBeNull()
    await expect(store.acquireLease('a', 60_000)).resolves.not.toBeNull()
  })

  test('the lease can be acquired after its owner has released it', async () => {
    await store.acquireLease('a', 60_000)
    await store.releaseLease('b')
    await expect(store.acquireLease('b', 60_000)).resolves.toBeNull()
    await store.releaseLease('a')
    await expect(store.acquireLease('b', 60_000)).resolves.not.toBeNull()
  })

  test('the lease can be acquired after it has expired', async () => {
    await store.acquireLease('a', 60_000)
    await database.query(`UPDATE tenant SET lease_until = now() - interval '1 ms'`)
    await expect(store.acquireLease('b', 60_000)).resolves.not.toBeNull()
  })

  test('one of many concurrent callers acquires the lease', async () => {
    const attempts = Array.from({ length: 10 }, (_, n) => store.acquireLease(`w${n}`, 60_000))
    expect((await Promise.all(attempts)).filter(Boolean)).toHaveLength(1)
  })
})

/** Number of statements in the transaction of `claim` before its COMMIT. */
const STATEMENTS_OF_CLAIM = 5

describe('the database', () => {
  const endConnections = () =>
    database.query(`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid()`)

  test('a database without data can be claimed for another tenant', async () => {
    const otherStore = await openTestStore(database, { domain: 'other.example' })
    await otherStore.close()
    expect(await database.query('SELECT domain FROM tenant')).toEqual([{ domain: 'other.example' }])
  })

  test('a database of another tenant is rejected, and the error names both tenants', async () => {
    await store.storeCaughtUp(null, NOON)
    const rejected = openTestStore(database, { domain: 'other.example' })
    await expect(rejected).rejects.toMatchObject({
      code: 'OTHER_TENANT',
      message: expect.stringMatching(/tenant\.example.*other\.example/),
    })
  })

  test('the store reports the database as unavailable if its server is unreachable', async () => {
    const url = new URL(database.url)
    url.port = '1'
    const opening = openTestStore({ ...database, url: url.href })
    await expect(opening).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
  })

  test('the store reports an unresponsive database as unavailable after a timeout, and works again afterwards', async () => {
    const proxy = await openProxy(database.url)
    const timeouts = { connectTimeoutMs: 1_000, queryTimeoutMs: 1_000 }
    const unresponsive = await openTestStore({ ...database, url: proxy.url }, {}, timeouts)
    proxy.freeze()
    await expect(unresponsive.readProgress()).rejects.toMatchObject({
      code: 'DATABASE_UNAVAILABLE',
    })
    proxy.thaw()
    await expect(unresponsive.storeCaughtUp(null, NOON)).resolves.not.toBeNull()
    proxy.freeze()
    await expect(unresponsive.setFirstCheckpoint(CHECKPOINT, null)).rejects.toMatchObject({
      code: 'DATABASE_UNAVAILABLE',
    })
    proxy.thaw()
    await expect(unresponsive.setFirstCheckpoint(CHECKPOINT, null)).resolves.toBeUndefined()
    await unresponsive.close()
    await proxy.close()
  })

  test('the store sends no rollback if the database becomes unresponsive within a transaction', async () => {
    // The proxy freezes after the BEGIN of the transaction that follows the claim.
    const proxy = await openProxy(database.url, READY_IN_TRANSACTION, STATEMENTS_OF_CLAIM + 1)
    const timeouts = { connectTimeoutMs: 1_000, queryTimeoutMs: 1_000 }
    const unresponsive = await openTestStore({ ...database, url: proxy.url }, {}, timeouts)
    const startedAt = performance.now()
    const writing = unresponsive.setFirstCheckpoint(CHECKPOINT, null)
    await expect(writing).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    // A rollback would cause a second timeout.
    expect(performance.now() - startedAt).toBeLessThan(1_900)
    await unresponsive.close()
    await proxy.close()
  })

  test('other writers can write after PostgreSQL has ended the transaction of an unresponsive writer', async () => {
    // The proxy freezes after the transaction has locked the tenant row.
    const proxy = await openProxy(database.url, READY_IN_TRANSACTION, STATEMENTS_OF_CLAIM + 3)
    // This timeout is longer than the limit of the idle time, so the server ends the transaction first.
    const timeouts = { queryTimeoutMs: 4_000 }
    const unresponsive = await openTestStore(
      { url: proxy.url },
      { idleTransactionTimeoutMs: 500 },
      timeouts,
    )
    const writing = unresponsive.setFirstCheckpoint(CHECKPOINT, null)
    const failing = expect(writing).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    const findLocks = () =>
      database.query(`SELECT FROM pg_locks WHERE relation = 'tenant'::regclass`)
    await expect.poll(findLocks, { interval: 5 }).not.toEqual([])
    const startedAt = performance.now()
    await expect(store.setFirstCheckpoint(CHECKPOINT, null)).resolves.toBeUndefined()
    expect(performance.now() - startedAt).toBeLessThan(3_500)
    await failing
    await unresponsive.close()
    await proxy.close()
  })

  test('another worker can acquire the lease after PostgreSQL has ended the transaction of an unresponsive worker', async () => {
    // The proxy freezes after the transaction has written the tenant row.
    const proxy = await openProxy(database.url, READY_IN_TRANSACTION, STATEMENTS_OF_CLAIM + 4)
    const unresponsive = await openTestStore(
      { url: proxy.url },
      { idleTransactionTimeoutMs: 500 },
      { queryTimeoutMs: 4_000 },
    )
    const writing = unresponsive.finishReconcile(NOON)
    const failing = expect(writing).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    const findLocks = () =>
      database.query(`
        SELECT FROM pg_locks WHERE relation = 'tenant'::regclass AND mode = 'RowExclusiveLock'`)
    await expect.poll(findLocks, { interval: 5 }).not.toEqual([])
    const startedAt = performance.now()
    await expect(store.acquireLease('other', 60_000)).resolves.not.toBeNull()
    expect(performance.now() - startedAt).toBeLessThan(3_500)
    await failing
    await unresponsive.close()
    await proxy.close()
  })

  test('writes succeed on new connections as soon as the database is no longer read-only', async () => {
    const setReadOnly = (value: string) =>
      database.query(`
        BEGIN READ WRITE;
        ALTER DATABASE ${database.name} SET default_transaction_read_only = ${value};
        COMMIT`)
    // The setting applies only to connections that are opened after it was changed.
    await setReadOnly('on')
    await endConnections()
    await expect.poll(() => store.readProgress().catch(() => null)).not.toBeNull()
    const writing = store.setFirstCheckpoint(CHECKPOINT, null)
    await expect(writing).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    await setReadOnly('off')
    await expect(store.setFirstCheckpoint(CHECKPOINT, null)).resolves.toBeUndefined()
  })

  test('a programming error is not reported as an unavailable database', async () => {
    await expect(store.storeCaughtUp(null, Number.NaN)).rejects.toBeInstanceOf(RangeError)
  })

  test('the store opens new connections after PostgreSQL has closed the existing connections', async () => {
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
