import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import type { Batch } from '../../src/rules/batch.js'
import type { LogoutEvent } from '../../src/rules/entry.js'
import { fold } from '../../src/rules/fold.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { expectedRows, logoutEvents } from '../_support/expected-rows.js'
import { openProxy, READY_IN_TRANSACTION } from '../_support/proxy.js'
import { CHECKPOINT, openTestStore, readRows } from '../_support/store.js'

// The store keeps the last logout of each user and each session, and how far the log has been read: the checkpoint (the
// log id from which the next page is read) and `as_of` (the instant up to which the log is known to have been read).
// The numbers of pitfalls are those of docs/pitfalls.md.

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

describe('the rows of users and sessions', () => {
  test('the rows are the same whatever the batches, the order and the repetition of the events (pitfalls 2, 18, 19)', async () => {
    const MAX_EVENTS = 60
    // Each event is in one or two of seven batches, or twice in one batch.
    const batchNumbers = fc.array(fc.nat({ max: 6 }), { minLength: 1, maxLength: 2 })
    const assignments = fc.array(batchNumbers, { minLength: MAX_EVENTS, maxLength: MAX_EVENTS })
    await fc.assert(
      fc.asyncProperty(logoutEvents, assignments, async (events, batchesOfEvent) => {
        await database.query('TRUNCATE last_logout, session_logout')
        for (let number = 0; number <= 6; number++) {
          const eventsOfBatch = events.flatMap((event, index) => {
            const occurrences = batchesOfEvent[index]?.filter((each) => each === number) ?? []
            return occurrences.map(() => event)
          })
          await store.storeBatch(batch(eventsOfBatch))
        }
        expect(await readRows(database)).toEqual(expectedRows(events))
      }),
      { numRuns: 60 },
    )
  })

  test('the rows do not move back while two stores write at the same time (pitfall 18)', async () => {
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

  test('a row gets a new position in the change feed only when its last logout moves forward', async () => {
    const readPositions = () => database.query('SELECT seq FROM last_logout')
    await store.storeBatch(batch([logout()]))
    const positionsBefore = await readPositions()
    await store.storeBatch(batch([logout()]))
    await store.storeBatch(batch([logout({ at: NOON - 1, logId: 'L0' })]))
    expect(await readPositions()).toEqual(positionsBefore)
    await store.storeBatch(batch([logout({ at: NOON + 1 })]))
    expect(await readPositions()).not.toEqual(positionsBefore)
  })

  test('the rows of one batch have consecutive positions in the change feed', async () => {
    // These events change the rows of two users and three sessions.
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

  test('a row can contain ids of 800 characters with three bytes each', async () => {
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

  test('storePage stores the logouts of a page, and moves the checkpoint to the next page', async () => {
    await store.setFirstCheckpoint(CHECKPOINT, null)
    await expect(store.storePage(page(CHECKPOINT, 'P1', [logout()]))).resolves.toBe(true)
    await expect(store.readProgress()).resolves.toMatchObject({ checkpoint: 'P1' })
    expect((await readRows(database)).users).toHaveLength(1)
  })

  test('a page that was read from another checkpoint changes neither the checkpoint nor the rows', async () => {
    await store.setFirstCheckpoint(CHECKPOINT, null)
    await store.storePage(page(CHECKPOINT, 'P1'))
    await expect(store.storePage(page(CHECKPOINT, 'P2', [logout()]))).resolves.toBe(false)
    await expect(store.readProgress()).resolves.toMatchObject({ checkpoint: 'P1' })
    expect((await readRows(database)).users).toEqual([])
  })

  test('neither the checkpoint nor a row changes if the rows of sessions cannot be written', async () => {
    await store.setFirstCheckpoint(CHECKPOINT, null)
    // Without the table, the statement for the sessions fails.
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

// A sweep is a search of a span of storage time for logouts. The store keeps the part of the span that remains.
describe('as_of', () => {
  test('as_of is null until the first catch-up has ended, even when pages are stored', async () => {
    await store.setFirstCheckpoint(CHECKPOINT, null)
    await store.storePage({ from: CHECKPOINT, next: 'P1', storedAt: NOON, batch: batch() })
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: null })
    await store.storeCaughtUp('P1', NOON)
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: NOON })
  })

  test('as_of is null until the first sweep is complete', async () => {
    const sweep = { from: NOON - 1000, to: NOON }
    await store.setFirstCheckpoint(CHECKPOINT, sweep)
    await store.storeCaughtUp(CHECKPOINT, NOON)
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: null, sweep })
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

  test('until the sweep is complete, as_of does not advance with pages, and reads report complete: false', async () => {
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

  test('a part of a replaced sweep stores its logouts, but does not shrink the new sweep', async () => {
    const replacedSweep = { from: NOON - 1000, to: NOON }
    const newSweep = { from: NOON - 1000, to: NOON + 500 }
    await store.setFirstCheckpoint(CHECKPOINT, replacedSweep)
    await store.moveCheckpoint(CHECKPOINT, 'P1', newSweep)
    await expect(store.storeSweep(batch([logout()]), replacedSweep)).resolves.toBe(false)
    await expect(store.readProgress()).resolves.toMatchObject({ sweep: newSweep })
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

  test('as_of does not advance if the end of the log was read from another checkpoint', async () => {
    await store.setFirstCheckpoint(CHECKPOINT, null)
    await store.storeCaughtUp('another', NOON)
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: null })
  })
})

// The floor: an instant for the whole tenant. It revokes the tokens of all users whose login is not after it.
describe('the floor', () => {
  test('the floor only rises, and each raise is a change of the feed', async () => {
    const readFeed = (after: string | null) => store.readChanges({ after, since: null, limit: 10 })
    await expect(store.raiseFloor(NOON)).resolves.toBe(NOON)
    const firstPage = await readFeed(null)
    expect(firstPage?.changes).toEqual([{ kind: 'floor', at: NOON }])
    const cursor = firstPage?.cursor ?? ''
    await expect(store.raiseFloor(NOON - 1)).resolves.toBe(NOON)
    await expect(store.raiseFloor(NOON)).resolves.toBe(NOON)
    expect((await readFeed(cursor))?.changes).toEqual([])
    await expect(store.raiseFloor(NOON + 1)).resolves.toBe(NOON + 1)
    expect((await readFeed(cursor))?.changes).toEqual([{ kind: 'floor', at: NOON + 1 }])
  })

  test('the floor cannot be raised into the future', async () => {
    const minuteMs = 60_000
    await expect(store.raiseFloor(Date.now() + minuteMs)).rejects.toBeInstanceOf(RangeError)
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
    // A logout without a session ends all sessions of the user.
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

  // A gap is a span of the log that Auth0 deleted before it was read. A logout in the gap concerns only tokens from
  // before the gap's end, and every token expires `horizonMs` after its login.
  test.each([
    ['expired a millisecond ago', true, -1],
    ['expires now', true, 0],
    ['expires in a millisecond', false, 1],
  ])(
    'if the last token that a gap concerns %s, readKnownLogouts returns complete: %s',
    async (_case, complete, remainingMs) => {
      const horizonMs = 1000
      const storeAtHorizon = await openTestStore(database, {
        horizonMs,
        now: () => NOON + horizonMs - remainingMs,
      })
      await store.setFirstCheckpoint(CHECKPOINT, null)
      await store.storeCaughtUp(CHECKPOINT, NOON)
      // The gap ends at noon.
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

// Entries of the log that may be logouts, but cannot be used.
describe('unattributable entries', () => {
  const rows = [
    { logId: 'L1', reason: 'no_subject', entry: '{"type":"slo"}' },
    { logId: '', reason: 'malformed', entry: '5' },
    { logId: '', reason: 'malformed', entry: '"\\u0000"' },
  ]

  test('an unattributable entry is stored once when it is read more than once', async () => {
    const entries: Batch = { users: [], sessions: [], unattributable: rows }
    await store.storeBatch(entries)
    await store.storeBatch(entries)
    await expect(store.count()).resolves.toMatchObject({
      unattributable: { malformed: 2, no_subject: 1 },
    })
  })

  test('an unattributable entry is truncated to 8,192 characters', async () => {
    const longEntry = { logId: 'L2', reason: 'malformed', entry: 'x'.repeat(100_000) }
    await store.storeBatch({ users: [], sessions: [], unattributable: [longEntry] })
    expect(await database.query('SELECT length(entry) FROM unattributable')).toEqual([
      { length: 8192 },
    ])
  })
})

// The lease: the exclusive right of one worker to read the log.
describe('the lease', () => {
  const TTL_MS = 60_000

  test('only one owner holds the lease, and can renew it', async () => {
    await expect(store.acquireLease('a', TTL_MS)).resolves.not.toBeNull()
    await expect(store.acquireLease('b', TTL_MS)).resolves.toBeNull()
    await expect(store.acquireLease('a', TTL_MS)).resolves.not.toBeNull()
  })

  test('another owner can acquire the lease only after its holder has released it', async () => {
    await store.acquireLease('a', TTL_MS)
    await store.releaseLease('b')
    await expect(store.acquireLease('b', TTL_MS)).resolves.toBeNull()
    await store.releaseLease('a')
    await expect(store.acquireLease('b', TTL_MS)).resolves.not.toBeNull()
  })

  test('another owner can acquire the lease after it has expired', async () => {
    await store.acquireLease('a', TTL_MS)
    await database.query(`UPDATE tenant SET lease_until = now() - interval '1 ms'`)
    await expect(store.acquireLease('b', TTL_MS)).resolves.not.toBeNull()
  })

  test('only one of ten concurrent callers acquires the lease', async () => {
    const attempts = Array.from({ length: 10 }, (_, n) => store.acquireLease(`w${n}`, TTL_MS))
    const results = await Promise.all(attempts)
    expect(results.filter((progress) => progress !== null)).toHaveLength(1)
  })
})

/**
 * Number of statements before the COMMIT in the transaction that claims the database for the tenant. `openTestStore`
 * runs this transaction first, so a proxy that counts statements in transactions counts these too.
 */
const STATEMENTS_OF_CLAIM = 5

describe('the database', () => {
  /** Ends all other connections to the database, including those of the store. */
  const endConnections = () =>
    database.query(`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid()`)

  test('a database without data can be claimed for another tenant', async () => {
    const otherStore = await openTestStore(database, { domain: 'other.example' })
    await otherStore.close()
    expect(await database.query('SELECT domain FROM tenant')).toEqual([{ domain: 'other.example' }])
  })

  test('a store neither reads nor writes the tenant row after another tenant has claimed the database', async () => {
    const otherStore = await openTestStore(database, { domain: 'other.example' })
    await otherStore.storeCaughtUp(null, NOON)
    const row = await database.query('SELECT * FROM tenant')
    const isMissing = { code: 'DATABASE_NOT_MIGRATED', message: expect.stringMatching(/another/) }
    const calls = [
      store.readProgress(),
      store.readKnownLogouts('auth0|1', 'S1'),
      store.readChanges({ after: null, since: null, limit: 1 }),
      store.count(),
      store.acquireLease('worker', 60_000),
      store.setFirstCheckpoint(CHECKPOINT, null),
      store.storeReported({
        userId: 'auth0|1',
        sessionId: null,
        at: null,
        type: 'reported_logout',
      }),
      store.raiseFloor(null),
      store.forget('auth0|1'),
    ]
    for (const result of await Promise.allSettled(calls)) {
      expect(result).toMatchObject({ status: 'rejected', reason: isMissing })
    }
    expect(await store.storeCaughtUp(null, NOON + 1)).toBeNull()
    await store.finishReconcile(NOON)
    await store.prune(0)
    expect(await database.query('SELECT * FROM tenant')).toEqual(row)
    expect((await otherStore.readProgress()).asOf).toBe(NOON)
    await otherStore.close()
  })

  test('a command does not claim an unused database of another tenant', async () => {
    const otherStore = await openTestStore(database, { domain: 'other.example' })
    await expect(store.claim({ replacesUnused: false })).rejects.toMatchObject({
      code: 'OTHER_TENANT',
    })
    await expect(otherStore.readProgress()).resolves.toMatchObject({ checkpoint: null })
    await otherStore.close()
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
    // No server listens on this port.
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
    // The proxy freezes after the BEGIN of the transaction that follows the claim of the database.
    const proxy = await openProxy(database.url, READY_IN_TRANSACTION, STATEMENTS_OF_CLAIM + 1)
    const timeouts = { connectTimeoutMs: 1_000, queryTimeoutMs: 1_000 }
    const unresponsive = await openTestStore({ ...database, url: proxy.url }, {}, timeouts)
    const startedAt = performance.now()
    const writing = unresponsive.setFirstCheckpoint(CHECKPOINT, null)
    await expect(writing).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    // A rollback would wait for another timeout of 1,000 ms.
    expect(performance.now() - startedAt).toBeLessThan(1_900)
    await unresponsive.close()
    await proxy.close()
  })

  // In the following two tests, an unresponsive writer holds a lock, and another writer waits for it. The unresponsive
  // writer gives up after `QUERY_TIMEOUT`. PostgreSQL ends its transaction earlier, after `IDLE_TIMEOUT`. The other writer
  // must get the lock within `MAX_WAIT_MS`, and so before the unresponsive writer gives up.
  const IDLE_TIMEOUT = { idleTransactionTimeoutMs: 500 }
  const QUERY_TIMEOUT = { queryTimeoutMs: 4_000 }
  const MAX_WAIT_MS = 3_500

  test('other writers can write after PostgreSQL has ended the transaction of an unresponsive writer', async () => {
    // The proxy freezes after the transaction has locked the tenant row with its third statement.
    const proxy = await openProxy(database.url, READY_IN_TRANSACTION, STATEMENTS_OF_CLAIM + 3)
    const unresponsive = await openTestStore({ url: proxy.url }, IDLE_TIMEOUT, QUERY_TIMEOUT)
    const writing = unresponsive.setFirstCheckpoint(CHECKPOINT, null)
    const failing = expect(writing).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    const findLocks = () =>
      database.query(`SELECT FROM pg_locks WHERE relation = 'tenant'::regclass`)
    await expect.poll(findLocks, { interval: 5 }).not.toEqual([])
    const startedAt = performance.now()
    await expect(store.setFirstCheckpoint(CHECKPOINT, null)).resolves.toBeUndefined()
    expect(performance.now() - startedAt).toBeLessThan(MAX_WAIT_MS)
    await failing
    await unresponsive.close()
    await proxy.close()
  })

  test('another worker can acquire the lease after PostgreSQL has ended the transaction of an unresponsive worker', async () => {
    // The proxy freezes after the transaction has written the tenant row with its fourth statement.
    const proxy = await openProxy(database.url, READY_IN_TRANSACTION, STATEMENTS_OF_CLAIM + 4)
    const unresponsive = await openTestStore({ url: proxy.url }, IDLE_TIMEOUT, QUERY_TIMEOUT)
    const writing = unresponsive.finishReconcile(NOON)
    const failing = expect(writing).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    const findLocks = () =>
      database.query(`
        SELECT FROM pg_locks WHERE relation = 'tenant'::regclass AND mode = 'RowExclusiveLock'`)
    await expect.poll(findLocks, { interval: 5 }).not.toEqual([])
    const startedAt = performance.now()
    const ttlMs = 60_000
    await expect(store.acquireLease('other', ttlMs)).resolves.not.toBeNull()
    expect(performance.now() - startedAt).toBeLessThan(MAX_WAIT_MS)
    await failing
    await unresponsive.close()
    await proxy.close()
  })

  test('the store reports a read-only database as unavailable, and can write as soon as it is no longer read-only', async () => {
    // `READ WRITE` allows this transaction to write although the database is read-only.
    const setReadOnly = (value: 'on' | 'off') =>
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
    const canRead = async () => {
      try {
        await store.readProgress()
        return true
      } catch {
        return false
      }
    }
    await expect.poll(canRead).toBe(true)
  })
})
