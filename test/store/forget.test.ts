import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Batch } from '../../src/rules/batch.js'
import type { Change } from '../../src/rules/change-feed.js'
import { fold } from '../../src/rules/fold.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openTestStore, readRows } from '../_support/store.js'

const NOON = Date.parse('2026-11-23T12:00:00Z')
const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
const HORIZON_MS = 31 * DAY_MS
const RETAIN_MS = 60 * DAY_MS
const USER_ID = 'auth0|forgotten'
const [PHONE, LAPTOP] = ['phone-session', 'laptop-session']
const IDS = [USER_ID, PHONE, LAPTOP]

let database: TestDatabase
/** The clock of the database. */
let now: number
let store: Awaited<ReturnType<typeof openTestStore>>
beforeEach(async () => {
  database = await createTestDatabase()
  now = NOON
  store = await openTestStore(database, { now: () => now, horizonMs: HORIZON_MS })
  await store.setFirstCheckpoint('P0', null)
})
afterEach(async () => {
  await store.close()
  await database.drop()
})

interface Logout {
  at: number
  userId?: string | null
  sessionId?: string | null
  logId?: string
}

/** A step of a random sequence: a logout, or a call of `forget` while the clock of the database is `now`. */
type Step = { at: number; user: string; session: string | null } | { forget: string; now: number }

/** Returns a batch with these logouts. By default, a logout ends all sessions of the person. */
const batch = (...logouts: Logout[]): Batch => ({
  ...fold(
    logouts.map(({ at, userId = USER_ID, sessionId = null, logId = `L${at}` }) => {
      return { logId, type: 'slo', at, userId, sessionId }
    }),
  ),
  unattributable: [],
})

const OLD = batch(
  { at: NOON - 3, sessionId: PHONE },
  { at: NOON - 2, sessionId: LAPTOP },
  { at: NOON - 1 },
  { at: NOON - 4, userId: 'auth0|other', sessionId: 'other-session' },
)

/** Reads the logouts of a user and a session, except the fields that `forget` changes. */
const read = async (userId: string, sessionId: string | null = null) => {
  const { user, session } = await store.readKnownLogouts(userId, sessionId)
  return {
    user: user && { at: user.at, allSessionsAt: user.allSessionsAt },
    session: session && { at: session.at, ended: session.ended },
  }
}
const readPerson = () => Promise.all([read(USER_ID), read(USER_ID, PHONE), read(USER_ID, LAPTOP)])

/** Returns the rows of all tables as text, without the table of migrations. */
async function dumpTables(): Promise<string> {
  const tables = await database.query<{ name: string }>(
    `SELECT table_name AS name FROM information_schema.tables
     WHERE table_schema = 'public' AND table_name <> '_prisma_migrations'`,
  )
  const rows = await Promise.all(
    tables.map(({ name }) => database.query(`SELECT t::text AS row FROM "${name}" AS t`)),
  )
  return rows.flatMap((list) => list.map(({ row }) => row)).join('\n')
}
const idsIn = (text: string) => IDS.filter((id) => text.includes(id))

const readFeed = async (cursor: string | null = null) => {
  const page = await store.readChanges({ after: cursor, since: null, limit: 100 })
  return { cursor: page?.cursor ?? '', changes: page?.changes ?? [] }
}

describe('forgetting a person', () => {
  beforeEach(() => store.storeBatch(OLD))

  test('forget leaves no id of the person in any table, and changes no logout', async () => {
    const stateBefore = await readPerson()
    expect(idsIn(await dumpTables())).toEqual(IDS)
    expect(await store.forget(USER_ID)).toEqual({
      users: 1,
      sessions: 2,
      entries: 0,
      remaining: { lastLogoutAt: NOON - 1, sessions: 2, newestAt: NOON - 1 },
      now: NOON,
    })
    const stateAfter = await dumpTables()
    expect(idsIn(stateAfter)).toEqual([])
    // The log id must be replaced too, because it leads to the entry in the log of the tenant.
    expect(stateAfter).not.toContain(`L${NOON - 1}`)
    expect(stateBefore[0].user).toEqual({ at: NOON - 1, allSessionsAt: NOON - 1 })
    expect(await readPerson()).toEqual(stateBefore)
  })

  test('forget does not change the rows of other people', async () => {
    const readOthers = async () => {
      const { users, sessions } = await readRows(database)
      return [users, sessions].map((rows) => rows.filter(({ userId }) => userId === 'auth0|other'))
    }
    const stateBefore = await readOthers()
    await store.forget(USER_ID)
    expect(await readOthers()).toEqual(stateBefore)
    expect(stateBefore.flat()).toHaveLength(2)
  })

  test('a second call of forget changes nothing, and returns the same remaining rows', async () => {
    const { remaining } = await store.forget(USER_ID)
    const stateBefore = await dumpTables()
    expect(await store.forget(USER_ID)).toEqual({
      users: 0,
      sessions: 0,
      entries: 0,
      remaining,
      now: NOON,
    })
    expect(await dumpTables()).toBe(stateBefore)
  })

  test('the change feed contains the hashed rows with the key of the hashes', async () => {
    const { cursor } = await readFeed()
    await store.forget(USER_ID)
    const { changes } = await readFeed(cursor)
    const [key = ''] = changes.flatMap((change) => ('key' in change ? change.key : []))
    const hash = (id: string) => createHmac('sha256', key).update(id).digest('hex')
    const session = { key, userHash: hash(USER_ID), ended: true, type: 'slo' }
    const byInstant = (a: Change, b: Change) => a.at - b.at
    expect(changes.sort(byInstant)).toEqual([
      { kind: 'forgotten_session', sessionHash: hash(PHONE), at: NOON - 3, ...session },
      { kind: 'forgotten_session', sessionHash: hash(LAPTOP), at: NOON - 2, ...session },
      {
        kind: 'forgotten_user',
        key,
        userHash: hash(USER_ID),
        at: NOON - 1,
        allSessionsAt: NOON - 1,
        type: 'slo',
      },
    ])
    const allChanges = (await readFeed()).changes
    expect(idsIn(JSON.stringify(allChanges))).toEqual([])
    expect(allChanges).toEqual(expect.arrayContaining(changes))
  })

  test('no id of the person is stored when the same entries are read or reported again', async () => {
    await store.forget(USER_ID)
    const stateBefore = await dumpTables()
    expect(await store.storeReconciled(OLD)).toBe(0)
    expect(await store.storeBatch(OLD)).toBe(0)
    await store.storePage({ from: 'P0', next: 'P1', storedAt: null, batch: OLD })
    await store.storeReported({
      userId: USER_ID,
      sessionId: PHONE,
      at: NOON - 3,
      type: 'reported',
    })
    expect(idsIn(await dumpTables())).toEqual([])
    const withoutTenant = (text: string) =>
      text.split('\n').filter((row) => !row.includes('tenant'))
    expect(withoutTenant(await dumpTables())).toEqual(withoutTenant(stateBefore))
  })

  test('a logout from before forget that is read later is stored with hashes, even for an unknown session', async () => {
    await store.forget(USER_ID)
    now = NOON + 10 * MINUTE_MS
    const lateAt = NOON + MINUTE_MS
    expect(
      await store.storeBatch(batch({ at: lateAt, sessionId: 'tablet', logId: 'late-entry' })),
    ).toBe(2)
    expect(await dumpTables()).not.toMatch(/tablet|late-entry/)
    expect(idsIn(await dumpTables())).toEqual([])
    expect(await read(USER_ID, 'tablet')).toEqual({
      user: { at: lateAt, allSessionsAt: NOON - 1 },
      session: { at: lateAt, ended: true },
    })
  })

  test('a logout from after forget is stored with ids, and counts together with the hashed rows', async () => {
    await store.forget(USER_ID)
    now = NOON + 10 * MINUTE_MS
    const laterAt = NOON + MINUTE_MS + 1
    await store.storeBatch(batch({ at: laterAt, sessionId: 'new-session' }))
    expect(idsIn(await dumpTables())).toEqual([USER_ID])
    expect(await read(USER_ID, PHONE)).toEqual({
      user: { at: laterAt, allSessionsAt: NOON - 1 },
      session: { at: NOON - 3, ended: true },
    })
    const { changes } = await readFeed()
    expect(changes).toContainEqual(
      expect.objectContaining({ kind: 'user', userId: USER_ID, at: laterAt }),
    )
    // Earlier logouts that are read again are still stored with hashes.
    await store.storeBatch(OLD)
    expect(idsIn(await dumpTables())).toEqual([USER_ID])

    const { users, sessions, remaining } = await store.forget(USER_ID)
    expect({ users, sessions, remaining }).toEqual({
      users: 1,
      sessions: 1,
      remaining: { lastLogoutAt: laterAt, sessions: 3, newestAt: laterAt },
    })
    expect(idsIn(await dumpTables())).toEqual([])
    await store.storeBatch(batch({ at: laterAt, sessionId: 'new-session' }))
    expect(idsIn(await dumpTables())).toEqual([])
    expect((await read(USER_ID)).user).toEqual({ at: laterAt, allSessionsAt: NOON - 1 })
  })

  test('no id of the person is stored again if the clock of the database is set back', async () => {
    await store.forget(USER_ID)
    now = NOON - 10 * MINUTE_MS
    await store.forget(USER_ID)
    now = NOON
    await store.storeBatch(OLD)
    expect(idsIn(await dumpTables())).toEqual([])
  })

  test('forget changes nothing if no row of the person is stored', async () => {
    const stateBefore = await dumpTables()
    expect(await store.forget('auth0|unknown')).toMatchObject({ users: 0, remaining: null })
    expect(await dumpTables()).toBe(stateBefore)
  })

  test('forget leaves no id while other writers store the same entries', async () => {
    const writer = await openTestStore(database, { now: () => now })
    const writing = Promise.all(Array.from({ length: 20 }, () => writer.storeBatch(OLD)))
    await store.forget(USER_ID)
    await writing
    await writer.close()
    expect(idsIn(await dumpTables())).toEqual([])
    expect((await read(USER_ID, PHONE)).session).toEqual({ at: NOON - 3, ended: true })
  })

  test('forget changes nothing if its argument is the hash of an id', async () => {
    await store.forget(USER_ID)
    const [row] = (await readRows(database)).users.filter(({ userId }) => userId.length === 64)
    await store.forget(row?.userId ?? '')
    expect((await read(USER_ID)).user?.at).toBe(NOON - 1)
  })
})

test('a second call of forget replaces ids that a worker of an earlier release has stored again', async () => {
  await store.storeBatch(OLD)
  const storedRows = await database.query('SELECT * FROM last_logout WHERE user_id = $1', [USER_ID])
  await store.forget(USER_ID)
  const [{ at, all_sessions_at, seq } = {}] = storedRows
  await database.query(
    `INSERT INTO last_logout (user_id, at, all_sessions_at, log_id, type, seq)
     VALUES ($1, $2, $3, 'L', 'slo', $4)`,
    [USER_ID, at, all_sessions_at, seq],
  )
  expect(await store.forget(USER_ID)).toMatchObject({ users: 1, remaining: { sessions: 2 } })
  expect(idsIn(await dumpTables())).toEqual([])
  expect((await read(USER_ID)).user).toEqual({ at: NOON - 1, allSessionsAt: NOON - 1 })
})

test('no last logout moves back, in any order of logouts, repeated reads and calls of forget', async () => {
  const minutes = fc.integer({ min: 0, max: 10 }).map((count) => NOON - count * MINUTE_MS)
  const logout = fc.record({
    at: minutes,
    user: fc.constantFrom('a', 'b'),
    session: fc.constantFrom('1', '2', null),
  })
  const step = fc.oneof(logout, fc.record({ forget: fc.constantFrom('a', 'b'), now: minutes }))
  let runCount = 0
  const check = async (steps: Step[]) => {
    const prefix = `auth0|${++runCount}`
    const logouts: Required<Logout>[] = []
    const storeAllAgain = () => store.storeBatch(batch(...logouts))
    for (const current of steps) {
      if ('forget' in current) {
        now = current.now
        await store.forget(prefix + current.forget)
        continue
      }
      now = NOON
      const { at, user, session } = current
      const sessionId = session && `${prefix}${user} ${session}`
      logouts.push({ at, userId: prefix + user, sessionId, logId: `L${logouts.length}` })
      const lastLogout = batch(...logouts.slice(-1))
      await (logouts.length % 3 === 0 ? storeAllAgain() : store.storeBatch(lastLogout))
    }
    now = NOON
    await storeAllAgain()
    const newest = (list: { at: number }[]) =>
      list.length === 0 ? null : Math.max(...list.map(({ at }) => at))
    for (const { userId, sessionId } of logouts) {
      const ofUser = logouts.filter((event) => event.userId === userId)
      const allSessionsAt = newest(ofUser.filter((event) => event.sessionId === null))
      const at = newest(ofUser.filter((event) => event.sessionId === sessionId))
      expect(await read(userId ?? '', sessionId)).toEqual({
        user: { at: newest(ofUser), allSessionsAt },
        session: sessionId === null ? null : { at, ended: true },
      })
    }
  }
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 8 }), check), {
    numRuns: 15,
  })
})

describe('the hashed rows', () => {
  const pruneAt = async (at: number) => {
    now = at
    await store.storeCaughtUp('P0', at)
    return store.prune(RETAIN_MS)
  }

  test('hashed rows are deleted when no token from before the logout can be valid, and not before', async () => {
    await store.storeBatch(OLD)
    await store.forget(USER_ID)
    const horizonEnd = NOON - 1 + HORIZON_MS
    expect(await pruneAt(NOON - 3 + HORIZON_MS)).toMatchObject({ forgotten: 0 })
    expect(await pruneAt(horizonEnd)).toMatchObject({ forgotten: 2 })
    expect(await read(USER_ID, PHONE)).toEqual({
      user: { at: NOON - 1, allSessionsAt: NOON - 1 },
      session: null,
    })
    expect(await pruneAt(horizonEnd + 1)).toMatchObject({ forgotten: 1 })
    expect(await readPerson()).toEqual(Array(3).fill({ user: null, session: null }))
    expect((await store.forget(USER_ID)).remaining).toBeNull()
    // The rows of other people stay.
    expect((await readRows(database)).users).toMatchObject([{ userId: 'auth0|other' }])
  })

  test('hashed rows are kept until the log has been read up to the instant at which they expire', async () => {
    await store.storeBatch(OLD)
    await store.forget(USER_ID)
    await store.storeCaughtUp('P0', NOON)
    now = NOON + 2 * HORIZON_MS
    expect(await store.prune(RETAIN_MS)).toMatchObject({ forgotten: 0 })
  })

  test('the store stops hashing ids after the last hashed row was deleted', async () => {
    const isHashingIds = async () => {
      const [row] = await database.query('SELECT forgotten_at IS NOT NULL AS hashes FROM tenant')
      return row?.hashes
    }
    await store.storeBatch(OLD)
    expect(await isHashingIds()).toBe(false)
    await store.forget(USER_ID)
    await pruneAt(NOON + HORIZON_MS)
    expect(await isHashingIds()).toBe(true)
    await pruneAt(NOON + RETAIN_MS + 1)
    expect(await isHashingIds()).toBe(false)
  })
})

describe('unattributable entries', () => {
  const entries = (...rows: [logId: string, entry: unknown][]): Batch => ({
    ...fold([]),
    unattributable: rows.map(([logId, entry]) => ({
      logId,
      reason: 'malformed',
      entry: JSON.stringify(entry),
    })),
  })
  const readEntryIds = async () =>
    (
      await database.query(
        'SELECT id FROM unattributable WHERE entry <> \'\' ORDER BY id COLLATE "C"',
      )
    ).map(({ id }) => id)
  const ID_WITH_QUOTES = 'samlp|corp|"a"\\b'
  const ENTRIES = entries(
    ['U1', { user_id: USER_ID }],
    ['U2', { details: { session_id: PHONE } }],
    ['U3', { user_id: 'auth0|other' }],
    ['U4', { user_id: ID_WITH_QUOTES }],
    // A line of a log stream that was cut off.
    ['', `{"user_id":${JSON.stringify(ID_WITH_QUOTES)},"det`],
  )
  beforeEach(async () => {
    await store.storeBatch(OLD)
    await store.storeBatch(ENTRIES)
  })

  test('unattributable entries with an id of a forgotten person are deleted at once, and not stored again', async () => {
    expect(await store.forget(USER_ID)).toMatchObject({ entries: 2 })
    const [digest = ''] = (await readEntryIds()).filter((id) => id.length === 32)
    expect(await readEntryIds()).toEqual([digest, 'U3', 'U4'].sort())
    await store.storeBatch(ENTRIES)
    expect(await readEntryIds()).toEqual([digest, 'U3', 'U4'].sort())
    expect(idsIn(await dumpTables())).toEqual([])
    expect(await store.forget(USER_ID)).toMatchObject({ entries: 0 })
  })

  test('unattributable entries are deleted whatever the JSON spelling of the id, even for a person without a logout', async () => {
    expect(await store.forget(ID_WITH_QUOTES)).toMatchObject({
      users: 0,
      entries: 2,
      remaining: null,
    })
    expect(await readEntryIds()).toEqual(['U1', 'U2', 'U3'])
    await store.storeBatch(ENTRIES)
    expect(await readEntryIds()).toEqual(['U1', 'U2', 'U3'])
  })

  test('unattributable entries are still counted after they were deleted', async () => {
    const { unattributable } = await store.count()
    await store.forget(USER_ID)
    expect((await store.count()).unattributable).toEqual(unattributable)
  })
})
