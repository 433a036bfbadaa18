import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Batch } from '../../src/rules/batch.js'
import type { Change } from '../../src/rules/change-feed.js'
import { fold } from '../../src/rules/fold.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openTestStore, readRows } from '../_support/store.js'

const NOON = Date.parse('2026-11-23T12:00:00Z')
const MINUTE = 60_000
const DAY = 86_400_000
const HORIZON = 31 * DAY
const RETAIN = 60 * DAY
const USER = 'auth0|forgotten'
const [PHONE, LAPTOP] = ['phone-session', 'laptop-session']
const IDS = [USER, PHONE, LAPTOP]

let database: TestDatabase
/** The clock of the database. */
let now: number
let store: Awaited<ReturnType<typeof openTestStore>>
beforeEach(async () => {
  database = await createTestDatabase()
  now = NOON
  store = await openTestStore(database, { now: () => now, horizonMs: HORIZON })
  await store.begin('P0', null)
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

/** A step of a random order: a logout, or a call at an instant. */
type Step = { at: number; user: string; session: string | null } | { forget: string; now: number }

/** A page with these logouts. */
const batch = (...logouts: Logout[]): Batch => ({
  ...fold(
    logouts.map(({ at, userId = USER, sessionId = null, logId = `L${at}` }) => {
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

/** What is known of a person, without what changes by itself. */
const read = async (userId: string, sessionId: string | null = null) => {
  const { user, session } = await store.readKnown(userId, sessionId)
  return {
    user: user && { at: user.at, allSessionsAt: user.allSessionsAt },
    session: session && { at: session.at, ended: session.ended },
  }
}
const readPerson = () => Promise.all([read(USER), read(USER, PHONE), read(USER, LAPTOP)])

/** The rows of every table as text, without those of migrations. */
async function dump(): Promise<string> {
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

const readFeed = async (after: string | null = null) => {
  const page = await store.readChanges({ after, since: null, limit: 100 })
  return { cursor: page?.cursor ?? '', changes: page?.changes ?? [] }
}

describe('forgetting a person', () => {
  beforeEach(() => store.storeBatch(OLD))

  test('leaves no id of the person in any table, and does not change any verdict', async () => {
    const before = await readPerson()
    expect(idsIn(await dump())).toEqual(IDS)
    expect(await store.forget(USER)).toEqual({
      users: 1,
      sessions: 2,
      entries: 0,
      remaining: { lastLogoutAt: NOON - 1, sessions: 2, newestAt: NOON - 1 },
      now: NOON,
    })
    const after = await dump()
    expect(idsIn(after)).toEqual([])
    // The log id leads to the entry in the log of the tenant.
    expect(after).not.toContain(`L${NOON - 1}`)
    expect(before[0].user).toEqual({ at: NOON - 1, allSessionsAt: NOON - 1 })
    expect(await readPerson()).toEqual(before)
  })

  test('does not change the rows of other people', async () => {
    const others = async () => {
      const { users, sessions } = await readRows(database)
      return [users, sessions].map((rows) => rows.filter(({ userId }) => userId === 'auth0|other'))
    }
    const before = await others()
    await store.forget(USER)
    expect(await others()).toEqual(before)
    expect(before.flat()).toHaveLength(2)
  })

  test('a second time changes no instant, and reports the same remaining rows', async () => {
    const { remaining } = await store.forget(USER)
    const before = await dump()
    expect(await store.forget(USER)).toEqual({
      users: 0,
      sessions: 0,
      entries: 0,
      remaining,
      now: NOON,
    })
    expect(await dump()).toBe(before)
  })

  test('delivers hashed rows to subscribers, which hash an id to find its row', async () => {
    const { cursor } = await readFeed()
    await store.forget(USER)
    const { changes } = await readFeed(cursor)
    const [key = ''] = changes.flatMap((change) => ('key' in change ? change.key : []))
    const hash = (id: string) => createHmac('sha256', key).update(id).digest('hex')
    const session = { key, userHash: hash(USER), ended: true, type: 'slo' }
    const byInstant = (a: Change, b: Change) => a.at - b.at
    expect(changes.sort(byInstant)).toEqual([
      { kind: 'forgotten_session', sessionHash: hash(PHONE), at: NOON - 3, ...session },
      { kind: 'forgotten_session', sessionHash: hash(LAPTOP), at: NOON - 2, ...session },
      {
        kind: 'forgotten_user',
        key,
        userHash: hash(USER),
        at: NOON - 1,
        allSessionsAt: NOON - 1,
        type: 'slo',
      },
    ])
    const loaded = (await readFeed()).changes
    expect(idsIn(JSON.stringify(loaded))).toEqual([])
    expect(loaded).toEqual(expect.arrayContaining(changes))
  })

  test('is not undone when the same entries are read again, in whichever way', async () => {
    await store.forget(USER)
    const before = await dump()
    expect(await store.storeReconciled(OLD)).toBe(0)
    expect(await store.storeBatch(OLD)).toBe(0)
    await store.storePage({ from: 'P0', next: 'P1', storedAt: null, batch: OLD })
    await store.storeReported({ userId: USER, sessionId: PHONE, at: NOON - 3, type: 'reported' })
    expect(idsIn(await dump())).toEqual([])
    const rowsOf = (text: string) => text.split('\n').filter((row) => !row.includes('tenant'))
    expect(rowsOf(await dump())).toEqual(rowsOf(before))
  })

  test('also replaces the ids of earlier logouts that are read later, even of unknown sessions', async () => {
    await store.forget(USER)
    now = NOON + 10 * MINUTE
    const late = NOON + MINUTE
    expect(
      await store.storeBatch(batch({ at: late, sessionId: 'tablet', logId: 'late-entry' })),
    ).toBe(2)
    expect(await dump()).not.toMatch(/tablet|late-entry/)
    expect(idsIn(await dump())).toEqual([])
    expect(await read(USER, 'tablet')).toEqual({
      user: { at: late, allSessionsAt: NOON - 1 },
      session: { at: late, ended: true },
    })
  })

  test('does not replace the ids of a later logout, and both logouts count', async () => {
    await store.forget(USER)
    now = NOON + 10 * MINUTE
    const later = NOON + MINUTE + 1
    await store.storeBatch(batch({ at: later, sessionId: 'new-session' }))
    expect(idsIn(await dump())).toEqual([USER])
    expect(await read(USER, PHONE)).toEqual({
      user: { at: later, allSessionsAt: NOON - 1 },
      session: { at: NOON - 3, ended: true },
    })
    const { changes } = await readFeed()
    expect(changes).toContainEqual(
      expect.objectContaining({ kind: 'user', userId: USER, at: later }),
    )
    // Entries from before are still covered.
    await store.storeBatch(OLD)
    expect(idsIn(await dump())).toEqual([USER])

    const { users, sessions, remaining } = await store.forget(USER)
    expect({ users, sessions, remaining }).toEqual({
      users: 1,
      sessions: 1,
      remaining: { lastLogoutAt: later, sessions: 3, newestAt: later },
    })
    expect(idsIn(await dump())).toEqual([])
    await store.storeBatch(batch({ at: later, sessionId: 'new-session' }))
    expect(idsIn(await dump())).toEqual([])
    expect((await read(USER)).user).toEqual({ at: later, allSessionsAt: NOON - 1 })
  })

  test('keeps its effect after the clock of the database was set back', async () => {
    await store.forget(USER)
    now = NOON - 10 * MINUTE
    await store.forget(USER)
    now = NOON
    await store.storeBatch(OLD)
    expect(idsIn(await dump())).toEqual([])
  })

  test('of whom no row is stored changes nothing', async () => {
    const before = await dump()
    expect(await store.forget('auth0|unknown')).toMatchObject({ users: 0, remaining: null })
    expect(await dump()).toBe(before)
  })

  test('holds while pages with the same entries are being stored', async () => {
    const writer = await openTestStore(database, { now: () => now })
    const writing = Promise.all(Array.from({ length: 20 }, () => writer.storeBatch(OLD)))
    await store.forget(USER)
    await writing
    await writer.close()
    expect(idsIn(await dump())).toEqual([])
    expect((await read(USER, PHONE)).session).toEqual({ at: NOON - 3, ended: true })
  })

  test('of whom only the hash is given as an id changes nothing', async () => {
    await store.forget(USER)
    const [row] = (await readRows(database)).users.filter(({ userId }) => userId.length === 64)
    await store.forget(row?.userId ?? '')
    expect((await read(USER)).user?.at).toBe(NOON - 1)
  })
})

test('ids that a worker of an earlier release stored again are replaced by another call', async () => {
  await store.storeBatch(OLD)
  const stored = await database.query('SELECT * FROM last_logout WHERE user_id = $1', [USER])
  await store.forget(USER)
  const [{ at, all_sessions_at, seq } = {}] = stored
  await database.query(
    `INSERT INTO last_logout (user_id, at, all_sessions_at, log_id, type, seq)
     VALUES ($1, $2, $3, 'L', 'slo', $4)`,
    [USER, at, all_sessions_at, seq],
  )
  expect(await store.forget(USER)).toMatchObject({ users: 1, remaining: { sessions: 2 } })
  expect(idsIn(await dump())).toEqual([])
  expect((await read(USER)).user).toEqual({ at: NOON - 1, allSessionsAt: NOON - 1 })
})

test('no last logout moves back, in any order of logouts, repeated reads and calls of forget', async () => {
  const minutes = fc.integer({ min: 0, max: 10 }).map((count) => NOON - count * MINUTE)
  const logout = fc.record({
    at: minutes,
    user: fc.constantFrom('a', 'b'),
    session: fc.constantFrom('1', '2', null),
  })
  const step = fc.oneof(logout, fc.record({ forget: fc.constantFrom('a', 'b'), now: minutes }))
  let run = 0
  const check = async (steps: Step[]) => {
    const prefix = `auth0|${++run}`
    const logouts: Required<Logout>[] = []
    const repeat = () => store.storeBatch(batch(...logouts))
    for (const each of steps) {
      if ('forget' in each) {
        now = each.now
        await store.forget(prefix + each.forget)
        continue
      }
      now = NOON
      const { at, user, session } = each
      const sessionId = session && `${prefix}${user} ${session}`
      logouts.push({ at, userId: prefix + user, sessionId, logId: `L${logouts.length}` })
      await (logouts.length % 3 === 0 ? repeat() : store.storeBatch(batch(...logouts.slice(-1))))
    }
    now = NOON
    await repeat()
    const newest = (list: { at: number }[]) =>
      list.length === 0 ? null : Math.max(...list.map(({ at }) => at))
    for (const { userId, sessionId } of logouts) {
      const ofUser = logouts.filter((each) => each.userId === userId)
      const allSessionsAt = newest(ofUser.filter((each) => each.sessionId === null))
      const at = newest(ofUser.filter((each) => each.sessionId === sessionId))
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
    return store.prune(RETAIN)
  }

  test('are deleted when no token from before the logout can be valid, and not before', async () => {
    await store.storeBatch(OLD)
    await store.forget(USER)
    const last = NOON - 1 + HORIZON
    expect(await pruneAt(NOON - 3 + HORIZON)).toMatchObject({ forgotten: 0 })
    expect(await pruneAt(last)).toMatchObject({ forgotten: 2 })
    expect(await read(USER, PHONE)).toEqual({
      user: { at: NOON - 1, allSessionsAt: NOON - 1 },
      session: null,
    })
    expect(await pruneAt(last + 1)).toMatchObject({ forgotten: 1 })
    expect(await readPerson()).toEqual(Array(3).fill({ user: null, session: null }))
    expect((await store.forget(USER)).remaining).toBeNull()
    // Those of others stay.
    expect((await readRows(database)).users).toMatchObject([{ userId: 'auth0|other' }])
  })

  test('are kept while the log has not been read up to that instant', async () => {
    await store.storeBatch(OLD)
    await store.forget(USER)
    await store.storeCaughtUp('P0', NOON)
    now = NOON + 2 * HORIZON
    expect(await store.prune(RETAIN)).toMatchObject({ forgotten: 0 })
  })

  test('are no longer read when no forgotten person is left', async () => {
    const isForgetting = async () => {
      const [row] = await database.query('SELECT forgotten_at IS NOT NULL AS is FROM tenant')
      return row?.is
    }
    await store.storeBatch(OLD)
    expect(await isForgetting()).toBe(false)
    await store.forget(USER)
    await pruneAt(NOON + HORIZON)
    expect(await isForgetting()).toBe(true)
    await pruneAt(NOON + RETAIN + 1)
    expect(await isForgetting()).toBe(false)
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
  const readKept = async () =>
    (
      await database.query(
        'SELECT id FROM unattributable WHERE entry <> \'\' ORDER BY id COLLATE "C"',
      )
    ).map(({ id }) => id)
  const quoted = 'samlp|corp|"a"\\b'
  const KEPT = entries(
    ['U1', { user_id: USER }],
    ['U2', { details: { session_id: PHONE } }],
    ['U3', { user_id: 'auth0|other' }],
    ['U4', { user_id: quoted }],
    // A line of a log stream that was cut off.
    ['', `{"user_id":${JSON.stringify(quoted)},"det`],
  )
  beforeEach(async () => {
    await store.storeBatch(OLD)
    await store.storeBatch(KEPT)
  })

  test('that contain an id of a forgotten person are deleted at once, and not stored again', async () => {
    expect(await store.forget(USER)).toMatchObject({ entries: 2 })
    const [digest = ''] = (await readKept()).filter((id) => id.length === 32)
    expect(await readKept()).toEqual([digest, 'U3', 'U4'].sort())
    await store.storeBatch(KEPT)
    expect(await readKept()).toEqual([digest, 'U3', 'U4'].sort())
    expect(idsIn(await dump())).toEqual([])
    expect(await store.forget(USER)).toMatchObject({ entries: 0 })
  })

  test('are found in every spelling of the id in JSON, even for a person without a logout', async () => {
    expect(await store.forget(quoted)).toMatchObject({ users: 0, entries: 2, remaining: null })
    expect(await readKept()).toEqual(['U1', 'U2', 'U3'])
    await store.storeBatch(KEPT)
    expect(await readKept()).toEqual(['U1', 'U2', 'U3'])
  })

  test('still count after they were deleted', async () => {
    const { unattributable } = await store.count()
    await store.forget(USER)
    expect((await store.count()).unattributable).toEqual(unattributable)
  })
})
