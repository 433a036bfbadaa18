import fc from 'fast-check'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import { fold } from '../../src/rules/fold.js'
import { createDatabase } from '../../src/store/database.js'
import { timestamp, toEpoch } from '../../src/store/epoch.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openTestStore, readRows } from '../_support/store.js'

const NOW = 1_795_428_000_123
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

let database: TestDatabase
/** The clock of the database. */
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
  'an instant is stored and read without a change if extra_float_digits is %d',
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

describe('as_of', () => {
  test.each([
    ['now', 0],
    ['60 s ahead of the database', 60_000],
    ['an hour behind the database', -HOUR_MS],
  ])('as_of moves to an instant that is %s', async (_what, aheadMs) => {
    await store.storeCaughtUp('P0', NOW + aheadMs)
    await expect(readAsOf()).resolves.toBe(NOW + aheadMs)
  })

  test('as_of does not move to an instant more than 60 s ahead of the database', async () => {
    await store.storeCaughtUp('P0', NOW - 5_000)
    await expect(store.storeCaughtUp('P0', NOW + 60_001)).rejects.toMatchObject({
      code: 'CLOCK_AHEAD',
    })
    await expect(readAsOf()).resolves.toBe(NOW - 5_000)
    await expect(store.readProgress()).resolves.toMatchObject({ lastPollAt: NOW })
  })

  test('a page with a storage time more than 60 s ahead moves neither as_of nor the checkpoint, but its logouts are stored', async () => {
    await store.storeCaughtUp('P0', NOW - 5_000)
    const batch = { ...fold([sloEvent('u', NOW + HOUR_MS)]), unattributable: [] }
    const page = { from: 'P0', next: 'P1', storedAt: NOW + 60_001, batch }
    await expect(store.storePage(page)).rejects.toMatchObject({ code: 'CLOCK_AHEAD' })
    await expect(store.readProgress()).resolves.toMatchObject({
      checkpoint: 'P0',
      asOf: NOW - 5_000,
    })
    await expect(store.readKnownLogouts('u', null)).resolves.toMatchObject({ user: { at: NOW } })
    await expect(store.storePage({ ...page, storedAt: NOW + 60_000 })).resolves.toBe(true)
    await expect(store.readProgress()).resolves.toMatchObject({
      checkpoint: 'P1',
      asOf: NOW + 60_000,
    })
  })

  test('as_of moves back only if it is more than 60 s ahead of the database', async () => {
    await store.storeCaughtUp('P0', NOW)
    now = NOW - 60_000
    await store.storeCaughtUp('P0', now)
    await expect(readAsOf()).resolves.toBe(NOW)
    now = NOW - 60_001
    await store.storeCaughtUp('P0', now)
    await expect(readAsOf()).resolves.toBe(NOW - 60_001)
  })
})

describe('a logout', () => {
  test('a logout in the future by the clock of the database is stored as now, for the user and the session', async () => {
    await storeLogout('u', NOW + HOUR_MS)
    await expect(store.readKnownLogouts('u', 'S-u')).resolves.toMatchObject({
      user: { at: NOW },
      session: { at: NOW },
    })
  })

  test('a logout that is read again after its instant has passed is stored with its instant', async () => {
    await storeLogout('u', NOW + 2_000)
    now = NOW + DAY_MS
    await storeLogout('u', NOW + 2_000)
    const { user } = await store.readKnownLogouts('u', null)
    expect(user?.at).toBe(NOW + 2_000)
  })

  test('a logout from 70 days ago has a feed position of the time at which it was stored', async () => {
    await storeLogout('early', NOW - 71 * DAY_MS)
    now = NOW + 1_000
    await storeLogout('late', NOW - 70 * DAY_MS)
    const page = await store.readChanges({ after: null, since: NOW + 1_000, limit: 10 })
    expect(page?.changes).toMatchObject([
      { kind: 'user', userId: 'late', at: NOW - 70 * DAY_MS },
      { kind: 'session', sessionId: 'S-late', ended: true },
    ])
  })

  test.each([
    ['without an instant is stored as now', null, NOW],
    ['that is 60 s ahead is stored as now', NOW + 60_000, NOW],
    ['in the past is stored with its instant', NOW - DAY_MS, NOW - DAY_MS],
  ])('a reported logout %s', async (_case, at, expected) => {
    const report = { userId: 'u', sessionId: null, at, type: 'reported_logout' }
    await expect(store.storeReported(report)).resolves.toBe(expected)
    await expect(store.readKnownLogouts('u', null)).resolves.toMatchObject({
      user: { at: expected, allSessionsAt: expected },
    })
  })

  test('a reported logout more than 60 s ahead is not stored', async () => {
    const report = { userId: 'u', sessionId: null, at: NOW + 60_001, type: 'reported_logout' }
    await expect(store.storeReported(report)).resolves.toBeNull()
    await expect(readRows(database)).resolves.toEqual({ users: [], sessions: [] })
  })
})

describe('the floor', () => {
  test('the floor is raised to now by the clock of the database, even if as_of is old', async () => {
    await store.storeCaughtUp('P0', NOW - 30 * DAY_MS)
    await expect(store.raiseFloor(null)).resolves.toBe(NOW)
  })

  test('the floor is never raised beyond now by the clock of the database', async () => {
    await expect(store.raiseFloor(NOW + 1)).rejects.toBeInstanceOf(RangeError)
    await expect(store.readProgress()).resolves.toMatchObject({ floorAt: null })
  })
})

describe('a gap', () => {
  test('a gap up to an empty log ends no later than now by the clock of the database', async () => {
    const gap = { from: NOW - DAY_MS, to: NOW + HOUR_MS, reason: 'empty_log' } as const
    await expect(store.storeGap(gap, true)).resolves.toBe(true)
    await expect(store.readGaps()).resolves.toEqual([{ ...gap, to: NOW, detectedAt: NOW }])
    await expect(store.readProgress()).resolves.toMatchObject({ floorAt: NOW })
  })

  test('a gap up to an entry ends at the storage time of the entry, even in the future, but raises the floor no further than now', async () => {
    const gap = { from: NOW + HOUR_MS, to: NOW + 2 * HOUR_MS, reason: 'retention' } as const
    await expect(store.storeGap(gap, true)).resolves.toBe(true)
    await expect(store.readGaps()).resolves.toEqual([{ ...gap, detectedAt: NOW }])
    await expect(store.readProgress()).resolves.toMatchObject({ floorAt: NOW })
  })

  test('a gap that begins at or after now is not stored', async () => {
    const gap = { from: NOW, to: NOW + HOUR_MS, reason: 'empty_log' } as const
    await expect(store.storeGap(gap, true)).resolves.toBe(false)
    await expect(store.readGaps()).resolves.toEqual([])
  })
})

describe('a lease', () => {
  test.each([
    ['cannot be acquired if it ends within two minutes', '119 s', false],
    ['can be acquired if it ends in an hour, because the clock was set back', '1 hour', true],
  ])('a lease of another owner %s', async (_what, interval, isAcquired) => {
    await database.query(
      `UPDATE tenant SET lease_owner = 'other', lease_until = clock_timestamp() + interval '${interval}'`,
    )
    expect((await store.acquireLease('mine', 30_000)) !== null).toBe(isAcquired)
  })
})

describe('the timeline of the server', () => {
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

  test('a new timeline changes the id of the feed once, and earlier cursors are then rejected', async () => {
    await storeLogout('u', NOW)
    const page = await store.readChanges({ after: null, since: null, limit: 10 })
    await database.query(`UPDATE tenant SET timeline = '0000000F'`)
    now = NOW - HOUR_MS
    await storeLogout('v', NOW - HOUR_MS)
    const cursor = page?.cursor ?? null
    await expect(store.readChanges({ after: cursor, since: null, limit: 10 })).resolves.toBeNull()
    const newFeedId = await readFeedId()
    await storeLogout('w', NOW - HOUR_MS)
    await expect(readFeedId()).resolves.toBe(newFeedId)
  })
})
