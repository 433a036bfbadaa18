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
const HOUR = 3_600_000
const DAY = 24 * HOUR

let database: TestDatabase
/** The clock of the database. */
let now = NOW
let store: LastLogoutStore & { close(): Promise<void> }
beforeEach(async () => {
  now = NOW
  database = await createTestDatabase()
  store = await openTestStore(database, { now: () => now })
  await store.begin('P0', null)
})
afterEach(async () => {
  await store.close()
  await database.drop()
})

const asOf = async () => (await store.readProgress()).asOf
const slo = (userId: string, at: number) => ({
  logId: `L-${userId}`,
  type: 'slo',
  at,
  userId,
  sessionId: `S-${userId}`,
})
const storeLogout = (userId: string, at: number) =>
  store.storeBatch({ ...fold([slo(userId, at)]), unattributable: [] })

test.each([1, 0, -8])(
  'an instant is unchanged after it is stored and read with extra_float_digits %d',
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
    ['an hour behind it', -HOUR],
  ])('moves to %s', async (_what, aheadMs) => {
    await store.storeCaughtUp('P0', NOW + aheadMs)
    await expect(asOf()).resolves.toBe(NOW + aheadMs)
  })

  test('does not move to an instant more than 60 s ahead of the database', async () => {
    await store.storeCaughtUp('P0', NOW - 5_000)
    await expect(store.storeCaughtUp('P0', NOW + 60_001)).rejects.toMatchObject({
      code: 'CLOCK_AHEAD',
    })
    await expect(asOf()).resolves.toBe(NOW - 5_000)
    await expect(store.readProgress()).resolves.toMatchObject({ lastPollAt: NOW })
  })

  test('does not move with a page whose storage time is more than 60 s ahead; its logouts count, and are read again', async () => {
    await store.storeCaughtUp('P0', NOW - 5_000)
    const batch = { ...fold([slo('u', NOW + HOUR)]), unattributable: [] }
    const page = { from: 'P0', next: 'P1', storedAt: NOW + 60_001, batch }
    await expect(store.storePage(page)).rejects.toMatchObject({ code: 'CLOCK_AHEAD' })
    await expect(store.readProgress()).resolves.toMatchObject({
      checkpoint: 'P0',
      asOf: NOW - 5_000,
    })
    await expect(store.readKnown('u', null)).resolves.toMatchObject({ user: { at: NOW } })
    await expect(store.storePage({ ...page, storedAt: NOW + 60_000 })).resolves.toBe(true)
    await expect(store.readProgress()).resolves.toMatchObject({
      checkpoint: 'P1',
      asOf: NOW + 60_000,
    })
  })

  test('goes back only if it is more than 60 s ahead of the database', async () => {
    await store.storeCaughtUp('P0', NOW)
    now = NOW - 60_000
    await store.storeCaughtUp('P0', now)
    await expect(asOf()).resolves.toBe(NOW)
    now = NOW - 60_001
    await store.storeCaughtUp('P0', now)
    await expect(asOf()).resolves.toBe(NOW - 60_001)
  })
})

describe('a logout', () => {
  test('that is in the future by the clock of the database is stored as now, for the user and the session', async () => {
    await storeLogout('u', NOW + HOUR)
    await expect(store.readKnown('u', 'S-u')).resolves.toMatchObject({
      user: { at: NOW },
      session: { at: NOW },
    })
  })

  test('moves to its instant when it is read again after the clock of the database has passed it', async () => {
    await storeLogout('u', NOW + 2_000)
    now = NOW + DAY
    await storeLogout('u', NOW + 2_000)
    const { user } = await store.readKnown('u', null)
    expect(user?.at).toBe(NOW + 2_000)
  })

  test('that happened 70 days ago has a feed position by the time when it was stored', async () => {
    await storeLogout('early', NOW - 71 * DAY)
    now = NOW + 1_000
    await storeLogout('late', NOW - 70 * DAY)
    const page = await store.readChanges({ after: null, since: NOW + 1_000, limit: 10 })
    expect(page?.changes).toMatchObject([
      { kind: 'user', userId: 'late', at: NOW - 70 * DAY },
      { kind: 'session', sessionId: 'S-late', ended: true },
    ])
  })

  test.each([
    ['without an instant is stored as now', null, NOW],
    ['60 s ahead is stored as now', NOW + 60_000, NOW],
    ['in the past is stored with its instant', NOW - DAY, NOW - DAY],
  ])('that is reported %s', async (_what, at, expected) => {
    const report = { userId: 'u', sessionId: null, at, type: 'reported_logout' }
    await expect(store.storeReported(report)).resolves.toBe(expected)
    await expect(store.readKnown('u', null)).resolves.toMatchObject({
      user: { at: expected, allSessionsAt: expected },
    })
  })

  test('that is reported more than 60 s ahead is not stored', async () => {
    const report = { userId: 'u', sessionId: null, at: NOW + 60_001, type: 'reported_logout' }
    await expect(store.storeReported(report)).resolves.toBeNull()
    await expect(readRows(database)).resolves.toEqual({ users: [], sessions: [] })
  })
})

describe('the floor', () => {
  test('is raised to now by the clock of the database, no matter how old as_of is', async () => {
    await store.storeCaughtUp('P0', NOW - 30 * DAY)
    await expect(store.raiseFloor(null)).resolves.toBe(NOW)
  })

  test('is never raised beyond now by the clock of the database', async () => {
    await expect(store.raiseFloor(NOW + 1)).rejects.toBeInstanceOf(RangeError)
    await expect(store.readProgress()).resolves.toMatchObject({ floorAt: null })
  })
})

describe('a gap', () => {
  test('ends no later than now by the clock of the database', async () => {
    const gap = { from: NOW - DAY, to: NOW + HOUR, reason: 'empty_log' } as const
    await expect(store.storeGap(gap, true)).resolves.toBe(true)
    await expect(store.readGaps()).resolves.toEqual([{ ...gap, to: NOW, detectedAt: NOW }])
    await expect(store.readProgress()).resolves.toMatchObject({ floorAt: NOW })
  })

  test('ends at the storage time of an entry, even if that is ahead of the database; the floor is never ahead', async () => {
    const gap = { from: NOW + HOUR, to: NOW + 2 * HOUR, reason: 'retention' } as const
    await expect(store.storeGap(gap, true)).resolves.toBe(true)
    await expect(store.readGaps()).resolves.toEqual([{ ...gap, detectedAt: NOW }])
    await expect(store.readProgress()).resolves.toMatchObject({ floorAt: NOW })
  })

  test('that begins at or after now is not stored', async () => {
    const gap = { from: NOW, to: NOW + HOUR, reason: 'empty_log' } as const
    await expect(store.storeGap(gap, true)).resolves.toBe(false)
    await expect(store.readGaps()).resolves.toEqual([])
  })
})

describe('a lease', () => {
  const leaseUntil = (until: string) =>
    database.query(`UPDATE tenant SET lease_owner = 'dead', lease_until = ${until}`)

  test.each([
    ['that ends within two minutes is held', '119 s', false],
    ['from before the clock was set back by an hour is free', '1 hour', true],
  ])('%s', async (_what, ahead, taken) => {
    await leaseUntil(`clock_timestamp() + interval '${ahead}'`)
    await expect(store.acquireLease('mine', 30_000)).resolves.toBe(taken)
  })
})

describe('a new timeline of the server', () => {
  const readFeed = async () =>
    (await store.readChanges({ after: null, since: null, limit: 1 }))?.cursor.split('.')[0]
  const readTimeline = async () =>
    (await database.query<{ timeline: string }>('SELECT timeline FROM tenant'))[0]?.timeline

  test('is stored by the first writer, which keeps the id of the feed', async () => {
    const before = await readFeed()
    await database.query('UPDATE tenant SET timeline = NULL')
    await storeLogout('u', NOW)
    await expect(readTimeline()).resolves.toBe('00000001')
    await expect(readFeed()).resolves.toBe(before)
  })

  test('renews the id of the feed once, so that earlier cursors are rejected', async () => {
    await storeLogout('u', NOW)
    const page = await store.readChanges({ after: null, since: null, limit: 10 })
    await database.query(`UPDATE tenant SET timeline = '0000000F'`)
    now = NOW - HOUR
    await storeLogout('v', NOW - HOUR)
    const cursor = page?.cursor ?? null
    await expect(store.readChanges({ after: cursor, since: null, limit: 10 })).resolves.toBeNull()
    const renewed = await readFeed()
    await storeLogout('w', NOW - HOUR)
    await expect(readFeed()).resolves.toBe(renewed)
  })
})
