import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Batch } from '../../src/rules/batch.js'
import type { Change } from '../../src/rules/change-feed.js'
import { fold } from '../../src/rules/fold.js'
import { MAX_CLOCK_AHEAD_MS } from '../../src/rules/freshness.js'
import { DAY_MS } from '../../src/rules/instant.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openTestStore, readRows } from '../_support/store.js'

// `forget` replaces the ids of a person by keyed hashes. The logouts of the person keep their effect.

const NOON = Date.parse('2026-11-23T12:00:00Z')
const MINUTE_MS = 60_000
/** The maximum time from a login until its tokens expire. */
const HORIZON_MS = 31 * DAY_MS
/** The maximum age of a row of a person who is not forgotten. */
const RETAIN_MS = 60 * DAY_MS
const USER_ID = 'auth0|forgotten'
const [PHONE, LAPTOP] = ['phone-session', 'laptop-session']
/** All ids of the person to forget. */
const IDS = [USER_ID, PHONE, LAPTOP]

let database: TestDatabase
/** The current time by the clock of the database. */
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

/** Returns a batch with these logouts. By default, a logout ends all sessions of the person to forget. */
const batch = (...logouts: Logout[]): Batch => ({
  ...fold(
    logouts.map(({ at, userId = USER_ID, sessionId = null, logId = `L${at}` }) => {
      return { logId, type: 'slo', at, userId, sessionId }
    }),
  ),
  unattributable: [],
})

/** Three logouts of the person to forget, and one of another person. */
const LOGOUTS = batch(
  { at: NOON - 3, sessionId: PHONE },
  { at: NOON - 2, sessionId: LAPTOP },
  { at: NOON - 1 },
  { at: NOON - 4, userId: 'auth0|other', sessionId: 'other-session' },
)

/** Reads the last logouts of a user and a session, without the log id, which `forget` deletes. */
const readLogouts = async (userId: string, sessionId: string | null = null) => {
  const { user, session } = await store.readKnownLogouts(userId, sessionId)
  return {
    user: user && { at: user.at, allSessionsAt: user.allSessionsAt },
    session: session && { at: session.at, ended: session.ended },
  }
}
/** Reads the last logouts of the person to forget: without a session, and with each of the two sessions. */
const readAllLogouts = () =>
  Promise.all([readLogouts(USER_ID), readLogouts(USER_ID, PHONE), readLogouts(USER_ID, LAPTOP)])

/** Returns the rows of all tables as text, one row per line. Omits the table of migrations. */
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
/** Returns the ids of the person to forget that are stored in any table. */
const readStoredIds = async () => {
  const text = await dumpTables()
  return IDS.filter((id) => text.includes(id))
}

/** Reads the change feed after a cursor, by default from the beginning. */
const readFeed = async (cursor: string | null = null) => {
  const page = await store.readChanges({ after: cursor, since: null, limit: 100 })
  return { cursor: page?.cursor ?? '', changes: page?.changes ?? [] }
}

describe('forgetting a person', () => {
  beforeEach(() => store.storeBatch(LOGOUTS))

  test('forget leaves no id of the person in any table, and changes no logout', async () => {
    const logoutsBefore = await readAllLogouts()
    expect(await readStoredIds()).toEqual(IDS)
    expect(await store.forget(USER_ID)).toEqual({
      users: 1,
      sessions: 2,
      entries: 0,
      remaining: { lastLogoutAt: NOON - 1, sessions: 2, newestAt: NOON - 1 },
      now: NOON,
    })
    expect(await readStoredIds()).toEqual([])
    // The log id must be deleted, too: it leads to the entry in Auth0's log, which contains the id of the user.
    expect(await dumpTables()).not.toContain(`L${NOON - 1}`)
    expect(logoutsBefore[0].user).toEqual({ at: NOON - 1, allSessionsAt: NOON - 1 })
    expect(await readAllLogouts()).toEqual(logoutsBefore)
  })

  test('forget does not change the rows of other people', async () => {
    const readOthers = async () => {
      const { users, sessions } = await readRows(database)
      return [...users, ...sessions].filter(({ userId }) => userId === 'auth0|other')
    }
    const rowsBefore = await readOthers()
    await store.forget(USER_ID)
    expect(await readOthers()).toEqual(rowsBefore)
    expect(rowsBefore).toHaveLength(2)
  })

  test('a second call of forget changes no row, and returns the same summary of the remaining rows', async () => {
    const { remaining } = await store.forget(USER_ID)
    const rowsBefore = await dumpTables()
    expect(await store.forget(USER_ID)).toEqual({
      users: 0,
      sessions: 0,
      entries: 0,
      remaining,
      now: NOON,
    })
    expect(await dumpTables()).toBe(rowsBefore)
  })

  test('forget adds the hashed rows to the change feed, together with the key of the hashes', async () => {
    const { cursor } = await readFeed()
    await store.forget(USER_ID)
    const { changes } = await readFeed(cursor)
    const [key = ''] = changes.flatMap((change) => ('key' in change ? change.key : []))
    const hash = (id: string) => createHmac('sha256', key).update(id).digest('hex')
    const byInstant = (a: Change, b: Change) => a.at - b.at
    const sessionFields = {
      kind: 'forgotten_session',
      key,
      userHash: hash(USER_ID),
      ended: true,
      type: 'slo',
    }
    expect(changes.sort(byInstant)).toEqual([
      { ...sessionFields, sessionHash: hash(PHONE), at: NOON - 3 },
      { ...sessionFields, sessionHash: hash(LAPTOP), at: NOON - 2 },
      {
        kind: 'forgotten_user',
        key,
        userHash: hash(USER_ID),
        at: NOON - 1,
        allSessionsAt: NOON - 1,
        type: 'slo',
      },
    ])
    const { changes: allChanges } = await readFeed()
    for (const id of IDS) expect(JSON.stringify(allChanges)).not.toContain(id)
    expect(allChanges).toEqual(expect.arrayContaining(changes))
  })

  test('no id of a forgotten person is stored when the same logouts are read or reported again', async () => {
    await store.forget(USER_ID)
    const rowsBefore = await dumpTables()
    // Both methods return the number of rows that they changed.
    expect(await store.storeReconciled(LOGOUTS)).toBe(0)
    expect(await store.storeBatch(LOGOUTS)).toBe(0)
    await store.storePage({ from: 'P0', next: 'P1', storedAt: null, batch: LOGOUTS })
    await store.storeReported({
      userId: USER_ID,
      sessionId: PHONE,
      at: NOON - 3,
      type: 'reported',
    })
    expect(await readStoredIds()).toEqual([])
    // The row of the tenant contains the checkpoint, which the page has moved.
    const withoutTenantRow = (dump: string) =>
      dump.split('\n').filter((row) => !row.includes('tenant.example'))
    expect(withoutTenantRow(await dumpTables())).toEqual(withoutTenantRow(rowsBefore))
  })

  // The clocks of Auth0 and the database can differ by a minute. A logout up to a minute after `forget` can therefore
  // have happened before it.
  test('a logout from up to a minute after forget is stored with hashes, even for an unknown session', async () => {
    await store.forget(USER_ID)
    now = NOON + 10 * MINUTE_MS
    const logoutAt = NOON + MAX_CLOCK_AHEAD_MS
    const changedRows = await store.storeBatch(
      batch({ at: logoutAt, sessionId: 'tablet', logId: 'late-entry' }),
    )
    expect(changedRows).toBe(2)
    expect(await dumpTables()).not.toMatch(/tablet|late-entry/)
    expect(await readStoredIds()).toEqual([])
    expect(await readLogouts(USER_ID, 'tablet')).toEqual({
      user: { at: logoutAt, allSessionsAt: NOON - 1 },
      session: { at: logoutAt, ended: true },
    })
  })

  test('a logout from more than a minute after forget is stored with ids, until forget is called again', async () => {
    await store.forget(USER_ID)
    now = NOON + 10 * MINUTE_MS
    const laterAt = NOON + MAX_CLOCK_AHEAD_MS + 1
    await store.storeBatch(batch({ at: laterAt, sessionId: 'new-session' }))
    expect(await readStoredIds()).toEqual([USER_ID])
    // The result combines the new row with the hashed rows.
    expect(await readLogouts(USER_ID, PHONE)).toEqual({
      user: { at: laterAt, allSessionsAt: NOON - 1 },
      session: { at: NOON - 3, ended: true },
    })
    const { changes } = await readFeed()
    expect(changes).toContainEqual(
      expect.objectContaining({ kind: 'user', userId: USER_ID, at: laterAt }),
    )
    // When the earlier logouts are read again, they are still stored with hashes.
    await store.storeBatch(LOGOUTS)
    expect(await readStoredIds()).toEqual([USER_ID])

    const { users, sessions, remaining } = await store.forget(USER_ID)
    // The remaining sessions are the two hashed ones and the new one.
    expect({ users, sessions, remaining }).toEqual({
      users: 1,
      sessions: 1,
      remaining: { lastLogoutAt: laterAt, sessions: 3, newestAt: laterAt },
    })
    expect(await readStoredIds()).toEqual([])
    await store.storeBatch(batch({ at: laterAt, sessionId: 'new-session' }))
    expect(await readStoredIds()).toEqual([])
    expect((await readLogouts(USER_ID)).user).toEqual({ at: laterAt, allSessionsAt: NOON - 1 })
  })

  test('no id is stored again if forget was called a second time while the clock of the database was set back', async () => {
    await store.forget(USER_ID)
    now = NOON - 10 * MINUTE_MS
    await store.forget(USER_ID)
    now = NOON
    await store.storeBatch(LOGOUTS)
    expect(await readStoredIds()).toEqual([])
  })

  test('forget changes no row if no row of the person is stored', async () => {
    const rowsBefore = await dumpTables()
    expect(await store.forget('auth0|unknown')).toMatchObject({ users: 0, remaining: null })
    expect(await dumpTables()).toBe(rowsBefore)
  })

  test('forget leaves no id of the person if another process stores the same logouts at the same time', async () => {
    const otherStore = await openTestStore(database, { now: () => now })
    const writing = Promise.all(Array.from({ length: 20 }, () => otherStore.storeBatch(LOGOUTS)))
    await store.forget(USER_ID)
    await writing
    await otherStore.close()
    expect(await readStoredIds()).toEqual([])
    expect((await readLogouts(USER_ID, PHONE)).session).toEqual({ at: NOON - 3, ended: true })
  })

  test('the logouts of a forgotten person remain if forget is called with the hash of the id', async () => {
    await store.forget(USER_ID)
    const HASH_LENGTH = 64
    const { users } = await readRows(database)
    const hashedUser = users.find(({ userId }) => userId.length === HASH_LENGTH)
    await store.forget(hashedUser?.userId ?? '')
    expect((await readLogouts(USER_ID)).user?.at).toBe(NOON - 1)
  })
})

test('a second call of forget replaces ids that a worker of an earlier release has stored again', async () => {
  await store.storeBatch(LOGOUTS)
  const storedRows = await database.query('SELECT * FROM last_logout WHERE user_id = $1', [USER_ID])
  await store.forget(USER_ID)
  // An earlier release does not know hashes, so its worker stores the ids.
  const [{ at, all_sessions_at, seq } = {}] = storedRows
  await database.query(
    `INSERT INTO last_logout (user_id, at, all_sessions_at, log_id, type, seq)
     VALUES ($1, $2, $3, 'L', 'slo', $4)`,
    [USER_ID, at, all_sessions_at, seq],
  )
  expect(await store.forget(USER_ID)).toMatchObject({ users: 1, remaining: { sessions: 2 } })
  expect(await readStoredIds()).toEqual([])
  expect((await readLogouts(USER_ID)).user).toEqual({ at: NOON - 1, allSessionsAt: NOON - 1 })
})

test('no last logout moves back, in any order of logouts, repeated reads and calls of forget', async () => {
  const instants = fc.integer({ min: 0, max: 10 }).map((minutes) => NOON - minutes * MINUTE_MS)
  const logoutSteps = fc.record({
    at: instants,
    user: fc.constantFrom('a', 'b'),
    session: fc.constantFrom('1', '2', null),
  })
  const forgetSteps = fc.record({ forget: fc.constantFrom('a', 'b'), now: instants })
  const sequences = fc.array(fc.oneof(logoutSteps, forgetSteps), { minLength: 2, maxLength: 8 })
  let runCount = 0
  const runSteps = async (steps: Step[]) => {
    // All runs use the same database, so each run has its own users.
    const prefix = `auth0|${++runCount}`
    const logouts: Required<Logout>[] = []
    const storeAll = () => store.storeBatch(batch(...logouts))
    for (const step of steps) {
      if ('forget' in step) {
        now = step.now
        await store.forget(prefix + step.forget)
        continue
      }
      now = NOON
      const { at, user, session } = step
      const sessionId = session && `${prefix}${user} ${session}`
      const logout = { at, userId: prefix + user, sessionId, logId: `L${logouts.length}` }
      logouts.push(logout)
      // Every third logout is stored together with all earlier logouts, as if they were read again.
      await (logouts.length % 3 === 0 ? storeAll() : store.storeBatch(batch(logout)))
    }
    now = NOON
    await storeAll()
    await expectNewestLogouts(logouts)
  }
  await fc.assert(fc.asyncProperty(sequences, runSteps), { numRuns: 15 })
})

/** Expects that the store returns the newest instant of each user and each session. */
async function expectNewestLogouts(logouts: Required<Logout>[]) {
  const newestOf = (list: Logout[]) =>
    list.length === 0 ? null : Math.max(...list.map(({ at }) => at))
  for (const { userId, sessionId } of logouts) {
    const ofUser = logouts.filter((logout) => logout.userId === userId)
    const ofSession = ofUser.filter((logout) => logout.sessionId === sessionId)
    const ofAllSessions = ofUser.filter((logout) => logout.sessionId === null)
    expect(await readLogouts(userId ?? '', sessionId)).toEqual({
      user: { at: newestOf(ofUser), allSessionsAt: newestOf(ofAllSessions) },
      session: sessionId === null ? null : { at: newestOf(ofSession), ended: true },
    })
  }
}

describe('the hashed rows', () => {
  /** Sets the clock of the database, records that the log has been read up to this instant, and prunes. */
  const pruneAt = async (at: number) => {
    now = at
    await store.storeCaughtUp('P0', at)
    return store.prune(RETAIN_MS)
  }

  test('prune deletes a hashed row when no token from before its logout can be valid, and not before', async () => {
    await store.storeBatch(LOGOUTS)
    await store.forget(USER_ID)
    // The sessions logged out at NOON - 3 and NOON - 2, and the user at NOON - 1.
    const firstExpiresAt = NOON - 3 + HORIZON_MS
    const lastExpiresAt = NOON - 1 + HORIZON_MS
    expect(await pruneAt(firstExpiresAt)).toMatchObject({ forgotten: 0 })
    expect(await pruneAt(lastExpiresAt)).toMatchObject({ forgotten: 2 })
    expect(await readLogouts(USER_ID, PHONE)).toEqual({
      user: { at: NOON - 1, allSessionsAt: NOON - 1 },
      session: null,
    })
    expect(await pruneAt(lastExpiresAt + 1)).toMatchObject({ forgotten: 1 })
    expect(await readAllLogouts()).toEqual(Array(3).fill({ user: null, session: null }))
    expect((await store.forget(USER_ID)).remaining).toBeNull()
    // The rows of other people stay.
    expect((await readRows(database)).users).toMatchObject([{ userId: 'auth0|other' }])
  })

  test('prune keeps expired hashed rows until the log has been read up to the instant of their expiry', async () => {
    await store.storeBatch(LOGOUTS)
    await store.forget(USER_ID)
    await store.storeCaughtUp('P0', NOON)
    now = NOON + 2 * HORIZON_MS
    expect(await store.prune(RETAIN_MS)).toMatchObject({ forgotten: 0 })
  })

  test('the store stops hashing ids when no hashed row remains and the last call of forget is older than the retention', async () => {
    // While `forgotten_at` of the tenant row is set, the store hashes each id to find rows of forgotten people.
    const isHashingIds = async () => {
      const [tenant] = await database.query('SELECT forgotten_at FROM tenant')
      return tenant?.forgotten_at !== null
    }
    await store.storeBatch(LOGOUTS)
    expect(await isHashingIds()).toBe(false)
    await store.forget(USER_ID)
    await pruneAt(NOON + HORIZON_MS)
    expect(await isHashingIds()).toBe(true)
    await pruneAt(NOON + RETAIN_MS + 1)
    expect(await isHashingIds()).toBe(false)
  })
})

// Entries of the log that may be logouts, but cannot be used. Their text can contain ids of people.
describe('unattributable entries', () => {
  const ID_WITH_QUOTES = 'samlp|corp|"a"\\b'
  const CUT_OFF_LINE = `{"user_id":${JSON.stringify(ID_WITH_QUOTES)},"det`
  const entryRow = (logId: string, entry: unknown) => ({
    logId,
    reason: 'malformed',
    entry: JSON.stringify(entry),
  })
  const ENTRIES: Batch = {
    ...fold([]),
    unattributable: [
      entryRow('U1', { user_id: USER_ID }),
      entryRow('U2', { details: { session_id: PHONE } }),
      entryRow('U3', { user_id: 'auth0|other' }),
      entryRow('U4', { user_id: ID_WITH_QUOTES }),
      entryRow('', CUT_OFF_LINE),
    ],
  }
  /** Returns the ids of the entries whose text is stored: their log ids, or the MD5 digest of the cut-off line. */
  const readEntryIds = async () => {
    const rows = await database.query(
      'SELECT id FROM unattributable WHERE entry <> \'\' ORDER BY id COLLATE "C"',
    )
    return rows.map(({ id }) => id)
  }
  beforeEach(async () => {
    await store.storeBatch(LOGOUTS)
    await store.storeBatch(ENTRIES)
  })

  test('unattributable entries with an id of a forgotten person are deleted at once, and not stored again', async () => {
    expect(await store.forget(USER_ID)).toMatchObject({ entries: 2 })
    const MD5_LENGTH = 32
    const [digest = ''] = (await readEntryIds()).filter((id) => id.length === MD5_LENGTH)
    expect(await readEntryIds()).toEqual([digest, 'U3', 'U4'].sort())
    await store.storeBatch(ENTRIES)
    expect(await readEntryIds()).toEqual([digest, 'U3', 'U4'].sort())
    expect(await readStoredIds()).toEqual([])
    expect(await store.forget(USER_ID)).toMatchObject({ entries: 0 })
  })

  test('unattributable entries with an id are deleted in any JSON spelling of the id, even for a person without a logout', async () => {
    // The two entries are U4 and the cut-off line, in which the id is spelled differently.
    expect(await store.forget(ID_WITH_QUOTES)).toMatchObject({
      users: 0,
      entries: 2,
      remaining: null,
    })
    expect(await readEntryIds()).toEqual(['U1', 'U2', 'U3'])
    await store.storeBatch(ENTRIES)
    expect(await readEntryIds()).toEqual(['U1', 'U2', 'U3'])
  })

  /** Holds the lock of the tenant row during `run`, as another writer does. */
  const whileLocked = async (run: (client: pg.Client) => Promise<unknown>) => {
    const client = new pg.Client(database.url)
    await client.connect()
    try {
      await client.query('BEGIN; SELECT FROM tenant FOR UPDATE')
      await run(client)
      await client.query('COMMIT')
    } finally {
      await client.end()
    }
  }
  /** Waits until `forget` waits for the lock. Its search for entries is then complete. */
  const waitForLock = () =>
    expect
      .poll(() =>
        database.query(
          `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'
           AND datname = current_database() AND query LIKE '%FOR UPDATE%'`,
        ),
      )
      .toHaveLength(1)

  test('forget searches the entries before it takes the lock of the tenant row, and deletes those that were stored meanwhile, too', async () => {
    let result: Promise<unknown> | undefined
    await whileLocked(async (client) => {
      result = store.forget(USER_ID)
      await waitForLock()
      // This entry was already found, so it is deleted although it no longer contains the id.
      await client.query(`UPDATE unattributable SET entry = '{}' WHERE id = 'U1'`)
      await client.query(
        `INSERT INTO unattributable (id, reason, entry)
         VALUES ('U5', 'malformed', '{"user_id":"${USER_ID}"}')`,
      )
    })
    expect(await result).toMatchObject({ entries: 3 })
    expect(await readEntryIds()).not.toContain('U5')
  })

  test('entries that name a session are deleted even if the session is stored during the search', async () => {
    await store.storeBatch({
      ...fold([]),
      unattributable: [entryRow('U6', { details: { session_id: 'new-session' } })],
    })
    let result: Promise<unknown> | undefined
    await whileLocked(async (client) => {
      result = store.forget(USER_ID)
      await waitForLock()
      await client.query(
        `INSERT INTO session_logout (session_id, user_id, at, ended, log_id, type, seq)
         VALUES ('new-session', '${USER_ID}', now(), true, '', 'slo', 1)`,
      )
    })
    expect(await result).toMatchObject({ sessions: 3, entries: 3 })
    expect(await readEntryIds()).not.toContain('U6')
  })

  test('all of more entries than one statement reads are searched', async () => {
    const logIds = Array.from({ length: 1_200 }, (_, n) => `many-${n}`)
    await database.query(
      `INSERT INTO unattributable (id, reason, entry)
       SELECT id, 'malformed', '{"user_id":"${USER_ID}"}' FROM unnest($1::text[]) AS id`,
      [logIds],
    )
    expect(await store.forget(USER_ID)).toMatchObject({ entries: logIds.length + 2 })
    expect(await readStoredIds()).toEqual([])
  })

  test('unattributable entries are still counted after they were deleted', async () => {
    const { unattributable } = await store.count()
    await store.forget(USER_ID)
    expect((await store.count()).unattributable).toEqual(unattributable)
  })
})
