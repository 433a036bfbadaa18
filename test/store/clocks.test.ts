import fc from 'fast-check'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import { fold } from '../../src/rules/fold.js'
import { MAX_CLOCK_AHEAD_MS } from '../../src/rules/freshness.js'
import { DAY_MS, HOUR_MS } from '../../src/rules/instant.js'
import { createDatabase } from '../../src/store/database.js'
import { timestamp, toEpoch } from '../../src/store/epoch.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openTestStore, readRows } from '../_support/store.js'

// How the store treats instants from other clocks than that of the database: Auth0 and callers send them. The clock of
// the database is replaced by `now`, and instants more than 60 s ahead of it are refused or corrected.

const NOW = Date.parse('2026-11-23T10:00:00.123Z')
/** The latest instant that is not too far ahead. */
const MAX_AHEAD = NOW + MAX_CLOCK_AHEAD_MS

let database: TestDatabase
/** The current time by the clock of the database. */
let now = NOW
let store: LastLogoutStore & { close(): Promise<void> }
beforeEach(async () => {
  now = NOW
  database = await createTestDatabase()
  store = await openTestStore(database, { now: () => now })
  await store.setFirstCheckpoint('P0', null)
})
afterEach(async () => {
  await store.close()
  await database.drop()
})

const readAsOf = async () => (await store.readProgress()).asOf
const sloEvent = (userId: string, at: number) => ({
  logId: `L-${userId}`,
  type: 'slo',
  at,
  userId,
  sessionId: `S-${userId}`,
})
const storeLogout = (userId: string, at: number) =>
  store.storeBatch({ ...fold([sloEvent(userId, at)]), unattributable: [] })

test.each([1, 0, -8])(
  'an instant is stored and read without a change if the setting extra_float_digits, which rounds float8, is %d',
  async (digits) => {
    await database.query(`ALTER DATABASE ${database.name} SET extra_float_digits = ${digits}`)
    const { prisma, close } = createDatabase(database.url, pino({ level: 'silent' }))
    const roundTrip = async (at: number) => {
      const [row] = await prisma.$queryRaw<{ at: number }[]>`
      SELECT ${toEpoch('at')} AS at FROM (SELECT ${timestamp(at)}::timestamptz(3) AS at) AS row`
      return row?.at
    }
    const instants = fc.integer({ min: Date.UTC(2000, 0, 1), max: Date.UTC(2200, 0, 1) - 1 })
    await fc.assert(
      fc.asyncProperty(instants, async (at) => {
        expect(await roundTrip(at)).toBe(at)
      }),
    )
    await close()
  },
)

test.each([Number.NaN, Number.POSITIVE_INFINITY, 1.5])(
  'the store rejects %d as an instant',
  async (at) => {
    await expect(store.storeCaughtUp('P0', at)).rejects.toBeInstanceOf(RangeError)
  },
)

// `as_of`: the log is known to have been read up to this instant.
describe('as_of', () => {
  test.each([
    ['now', NOW],
    ['60 s ahead of the database', MAX_AHEAD],
    ['an hour behind the database', NOW - HOUR_MS],
  ])('as_of moves to an instant that is %s', async (_description, instant) => {
    await store.storeCaughtUp('P0', instant)
    await expect(readAsOf()).resolves.toBe(instant)
  })

  test('as_of does not move to an instant more than 60 s ahead of the database', async () => {
    await store.storeCaughtUp('P0', NOW - 5_000)
    await expect(store.storeCaughtUp('P0', MAX_AHEAD + 1)).rejects.toMatchObject({
      code: 'CLOCK_AHEAD',
    })
    await expect(readAsOf()).resolves.toBe(NOW - 5_000)
    // The poll is recorded nevertheless.
    await expect(store.readProgress()).resolves.toMatchObject({ lastPollAt: NOW })
  })

  test('a page with a storage time more than 60 s ahead moves neither as_of nor the checkpoint, but its logouts are stored', async () => {
    await store.storeCaughtUp('P0', NOW - 5_000)
    const batch = { ...fold([sloEvent('u', NOW + HOUR_MS)]), unattributable: [] }
    const page = { from: 'P0', next: 'P1', storedAt: MAX_AHEAD + 1, batch }
    await expect(store.storePage(page)).rejects.toMatchObject({ code: 'CLOCK_AHEAD' })
    await expect(store.readProgress()).resolves.toMatchObject({
      checkpoint: 'P0',
      asOf: NOW - 5_000,
    })
    await expect(store.readKnownLogouts('u', null)).resolves.toMatchObject({ user: { at: NOW } })
    await expect(store.storePage({ ...page, storedAt: MAX_AHEAD })).resolves.toBe(true)
    await expect(store.readProgress()).resolves.toMatchObject({
      checkpoint: 'P1',
      asOf: MAX_AHEAD,
    })
  })

  test('as_of moves back only if it is more than 60 s ahead of the database', async () => {
    await store.storeCaughtUp('P0', NOW)
    now = NOW - MAX_CLOCK_AHEAD_MS
    await store.storeCaughtUp('P0', now)
    await expect(readAsOf()).resolves.toBe(NOW)
    now -= 1
    await store.storeCaughtUp('P0', now)
    await expect(readAsOf()).resolves.toBe(now)
  })
})

describe('a logout', () => {
  test('a logout in the future by the clock of the database is stored with the current instant, for user and session', async () => {
    await storeLogout('u', NOW + HOUR_MS)
    await expect(store.readKnownLogouts('u', 'S-u')).resolves.toMatchObject({
      user: { at: NOW },
      session: { at: NOW },
    })
  })

  test('a logout in the future gets its own instant when it is read again after this instant', async () => {
    await storeLogout('u', NOW + 2_000)
    now = NOW + DAY_MS
    await storeLogout('u', NOW + 2_000)
    const { user } = await store.readKnownLogouts('u', null)
    expect(user?.at).toBe(NOW + 2_000)
  })

  test('the position of a logout in the change feed is the time at which it was stored, not its instant', async () => {
    await storeLogout('stored-first', NOW - 71 * DAY_MS)
    now = NOW + 1_000
    await storeLogout('stored-second', NOW - 70 * DAY_MS)
    const page = await store.readChanges({ after: null, since: now, limit: 10 })
    expect(page?.changes).toMatchObject([
      { kind: 'user', userId: 'stored-second', at: NOW - 70 * DAY_MS },
      { kind: 'session', sessionId: 'S-stored-second', ended: true },
    ])
  })

  // An application or an operator can report a logout, instead of an entry of the log.
  test.each([
    ['without an instant is stored with the current instant', null, NOW],
    ['that is 60 s ahead is stored with the current instant', MAX_AHEAD, NOW],
    ['in the past is stored with its own instant', NOW - DAY_MS, NOW - DAY_MS],
  ])('a reported logout %s', async (_case, at, expected) => {
    const report = { userId: 'u', sessionId: null, at, type: 'reported_logout' }
    await expect(store.storeReported(report)).resolves.toBe(expected)
    await expect(store.readKnownLogouts('u', null)).resolves.toMatchObject({
      user: { at: expected, allSessionsAt: expected },
    })
  })

  test('a reported logout more than 60 s ahead is not stored', async () => {
    const report = { userId: 'u', sessionId: null, at: MAX_AHEAD + 1, type: 'reported_logout' }
    await expect(store.storeReported(report)).resolves.toBeNull()
    await expect(readRows(database)).resolves.toEqual({ users: [], sessions: [] })
  })
})

// The floor: an instant for the whole tenant. It revokes the tokens of all users whose login is not after it.
describe('the floor', () => {
  test('without a given instant, the floor is raised to the current time of the database, even if as_of is old', async () => {
    await store.storeCaughtUp('P0', NOW - 30 * DAY_MS)
    await expect(store.raiseFloor(null)).resolves.toBe(NOW)
  })

  test('the floor is never raised beyond the current time of the database', async () => {
    await expect(store.raiseFloor(NOW + 1)).rejects.toBeInstanceOf(RangeError)
    await expect(store.readProgress()).resolves.toMatchObject({ floorAt: null })
  })
})

// A gap: a span of storage time that was not read, and that Auth0 has deleted.
describe('a gap', () => {
  const RAISE_FLOOR = true

  test('a gap of an empty log ends no later than the current time of the database', async () => {
    const gap = { from: NOW - DAY_MS, to: NOW + HOUR_MS, reason: 'empty_log' } as const
    await expect(store.storeGap(gap, RAISE_FLOOR)).resolves.toBe(true)
    await expect(store.readGaps()).resolves.toEqual([{ ...gap, to: NOW, detectedAt: NOW }])
    await expect(store.readProgress()).resolves.toMatchObject({ floorAt: NOW })
  })

  test('a gap that ends at an entry can end in the future, but raises the floor only to the current time of the database', async () => {
    const gap = { from: NOW + HOUR_MS, to: NOW + 2 * HOUR_MS, reason: 'retention' } as const
    await expect(store.storeGap(gap, RAISE_FLOOR)).resolves.toBe(true)
    await expect(store.readGaps()).resolves.toEqual([{ ...gap, detectedAt: NOW }])
    await expect(store.readProgress()).resolves.toMatchObject({ floorAt: NOW })
  })

  test('a gap of an empty log is not stored if it begins at the current time of the database', async () => {
    const gap = { from: NOW, to: NOW + HOUR_MS, reason: 'empty_log' } as const
    await expect(store.storeGap(gap, RAISE_FLOOR)).resolves.toBe(false)
    await expect(store.readGaps()).resolves.toEqual([])
  })
})

// A lease: the exclusive right of one worker to read the log. No worker acquires a lease for more than two minutes.
describe('a lease', () => {
  test.each([
    ['cannot be acquired if it ends within two minutes', '119 s', false],
    ['can be acquired if it ends in an hour, because the clock was set back', '1 hour', true],
  ])('a lease of another owner %s', async (_case, remaining, isAcquired) => {
    await database.query(
      `UPDATE tenant SET lease_owner = 'other', lease_until = clock_timestamp() + interval '${remaining}'`,
    )
    const ttlMs = 30_000
    expect((await store.acquireLease('mine', ttlMs)) !== null).toBe(isAcquired)
  })
})

// PostgreSQL's number for one history of the data. It changes at the promotion of a replica and at a restore.
describe('the timeline of the server', () => {
  /** Returns the part of a cursor before the dot: the id of the feed. */
  const readFeedId = async () =>
    (await store.readChanges({ after: null, since: null, limit: 1 }))?.cursor.split('.')[0]
  const readTimeline = async () =>
    (await database.query<{ timeline: string }>('SELECT timeline FROM tenant'))[0]?.timeline

  test('the first write stores the timeline, and does not change the id of the feed', async () => {
    const feedIdBefore = await readFeedId()
    await database.query('UPDATE tenant SET timeline = NULL')
    await storeLogout('u', NOW)
    await expect(readTimeline()).resolves.toBe('00000001')
    await expect(readFeedId()).resolves.toBe(feedIdBefore)
  })

  test('a new timeline changes the id of the feed once, and the feed then rejects earlier cursors', async () => {
    await storeLogout('u', NOW)
    const page = await store.readChanges({ after: null, since: null, limit: 10 })
    // The stored timeline is now different from the timeline of the server, 00000001.
    await database.query(`UPDATE tenant SET timeline = '0000000F'`)
    // The clock of the promoted replica can be behind.
    now = NOW - HOUR_MS
    await storeLogout('v', NOW - HOUR_MS)
    const cursor = page?.cursor ?? null
    await expect(store.readChanges({ after: cursor, since: null, limit: 10 })).resolves.toBeNull()
    const newFeedId = await readFeedId()
    await storeLogout('w', NOW - HOUR_MS)
    await expect(readFeedId()).resolves.toBe(newFeedId)
  })
})
