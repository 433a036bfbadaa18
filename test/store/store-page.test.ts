import fc from 'fast-check'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import type { LogoutEvent } from '../../src/rules/entry.js'
import { fold } from '../../src/rules/fold.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { expectedRows, logoutEvents } from '../_support/expected-rows.js'
import { openPostgresWire } from '../_support/postgres-wire.js'
import { CHECKPOINT, openTestStore, readRows } from '../_support/store.js'

// `storePage` stores the logouts of one page of Auth0's log, and moves the checkpoint: the log id from which the next
// page is read. It does both in one statement under the lock of the tenant row, the only row of the table `tenant`.

const NOON = Date.parse('2026-11-23T12:00:00Z')

let database: TestDatabase
let store: LastLogoutStore & { close(): Promise<void> }
/** Another connection, which can hold the lock of the tenant row. */
let otherClient: pg.Client
beforeEach(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database)
  await store.setFirstCheckpoint(CHECKPOINT, null)
  otherClient = new pg.Client({ connectionString: database.url })
  await otherClient.connect()
})
afterEach(async () => {
  await otherClient.end()
  await store.close()
  await database.drop()
})

const logout = (overrides: Partial<LogoutEvent> = {}): LogoutEvent => ({
  logId: 'L1',
  type: 'slo',
  at: NOON,
  userId: 'auth0|1',
  sessionId: 'S1',
  ...overrides,
})
const page = (from: string, next: string, events: LogoutEvent[] = []) => ({
  from,
  next,
  storedAt: NOON,
  batch: { ...fold(events), unattributable: [] },
})

const countStoredUnattributable = async () =>
  (await database.query('SELECT id FROM unattributable')).length

/** A change of the tenant row, as every other writer makes it: it assigns the next position of the change feed. */
const CHANGE_TENANT_ROW = 'UPDATE tenant SET seq = seq + 1'

/**
 * Runs `sql` in a transaction of another writer, which locks the tenant row, and starts `write`. Commits the
 * transaction when `write` waits for the lock. Returns the result of `write`.
 */
async function writeWhileLocked<T>(sql: string, write: () => Promise<T>): Promise<T> {
  await otherClient.query('BEGIN')
  await otherClient.query('SELECT FROM tenant FOR UPDATE')
  await otherClient.query(sql)
  const writing = write()
  const countWaiting = async () => {
    const waiting = await database.query(`
      SELECT pid FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event_type = 'Lock'`)
    return waiting.length
  }
  await expect.poll(countWaiting, { interval: 5 }).toBe(1)
  await otherClient.query('COMMIT')
  return writing
}

test('the rows are the same for any division of the events into five pages', async () => {
  const MAX_EVENTS = 60
  const pageNumbers = fc.array(fc.nat({ max: 4 }), { minLength: MAX_EVENTS, maxLength: MAX_EVENTS })
  await fc.assert(
    fc.asyncProperty(logoutEvents, pageNumbers, async (events, pageOfEvent) => {
      await database.query('TRUNCATE last_logout, session_logout')
      await database.query(`UPDATE tenant SET checkpoint = 'P0'`)
      for (let n = 0; n < 5; n++) {
        const eventsOfPage = events.filter((_event, index) => pageOfEvent[index] === n)
        await expect(store.storePage(page(`P${n}`, `P${n + 1}`, eventsOfPage))).resolves.toBe(true)
      }
      expect(await readRows(database)).toEqual(expectedRows(events))
    }),
    { numRuns: 40 },
  )
})

// A position in the change feed is a number that increases in the order of commits. The tenant row contains the last
// position.
test('the rows of a page have distinct feed positions, after the positions of the previous page', async () => {
  // The rows of two users and two sessions.
  const events = [logout(), logout({ userId: 'auth0|2', sessionId: 'S2' })]
  await store.storePage(page(CHECKPOINT, 'P1', events))
  const laterEvents = events.map((event) => ({ ...event, at: NOON + 1 }))
  const readPositions = async () => {
    const rows = await database.query<{ seq: string }>(
      'SELECT seq FROM last_logout UNION ALL SELECT seq FROM session_logout ORDER BY seq',
    )
    return rows.map(({ seq }) => BigInt(seq))
  }
  const positionsBefore = await readPositions()
  await store.storePage(page('P1', 'P2', laterEvents))
  const positions = await readPositions()
  expect(new Set(positions).size).toBe(4)
  expect((positions[0] ?? 0n) > (positionsBefore.at(-1) ?? 0n)).toBe(true)
  expect(await database.query('SELECT seq FROM tenant')).toEqual([{ seq: `${positions.at(-1)}` }])
})

test('a logout in the future is stored with the current time, and does not set all_sessions_at if it has a session', async () => {
  const now = NOON + 5_000
  const storeWithClock = await openTestStore(database, { now: () => now })
  const futureLogouts = [
    logout({ at: now + 60_000 }),
    logout({ at: now + 60_000, userId: 'auth0|2', sessionId: null }),
  ]
  await expect(storeWithClock.storePage(page(CHECKPOINT, 'P1', futureLogouts))).resolves.toBe(true)
  await storeWithClock.close()
  const { users, sessions } = await readRows(database)
  expect(users).toMatchObject([
    { at: now, allSessionsAt: null },
    { at: now, allSessionsAt: now },
  ])
  expect(sessions).toMatchObject([{ at: now }])
})

test('a page with a logout of a forgotten person stores neither the user id nor the session id', async () => {
  const events = [logout()]
  await store.storePage(page(CHECKPOINT, 'P1', events))
  await store.forget('auth0|1')
  await expect(store.storePage(page('P1', 'P2', events))).resolves.toBe(true)
  const { users, sessions } = await readRows(database)
  expect(users).toHaveLength(1)
  expect(JSON.stringify([users, sessions])).not.toMatch(/auth0\|1|S1/)
})

// Unattributable entries may be logouts, but cannot be used. At most 1,000 of them are stored per reason and day.

test('a page stores each unattributable entry once, up to the limit per day, and counts the entries beyond the limit', async () => {
  const unattributable = Array.from({ length: 1_001 }, (_, n) => ({
    logId: `L${n}`,
    reason: 'no_subject',
    entry: '{}',
  }))
  const firstPage = page(CHECKPOINT, 'P1', [logout()])
  const batch = { ...firstPage.batch, unattributable }
  await expect(store.storePage({ ...firstPage, batch })).resolves.toBe(true)
  await expect(store.count()).resolves.toMatchObject({ unattributable: { no_subject: 1_001 } })
  expect(await countStoredUnattributable()).toBe(1_000)
  const repeatedBatch = { ...batch, unattributable: unattributable.slice(0, 5) }
  await expect(store.storePage({ ...page('P1', 'P2'), batch: repeatedBatch })).resolves.toBe(true)
  await expect(store.count()).resolves.toMatchObject({ unattributable: { no_subject: 1_001 } })
})

test('a page that waited for the lock counts the unattributable entries of the other writer toward the limit per day', async () => {
  const unattributable = [0, 1].map((n) => ({ logId: `U${n}`, reason: 'no_subject', entry: '{}' }))
  const firstPage = page(CHECKPOINT, 'P1', [logout()])
  const storeEntries = `INSERT INTO unattributable (id, reason, entry)
    SELECT n::text, 'no_subject', '{}' FROM generate_series(1, 999) AS n;
    ${CHANGE_TENANT_ROW}`
  const isStored = await writeWhileLocked(storeEntries, () =>
    store.storePage({ ...firstPage, batch: { ...firstPage.batch, unattributable } }),
  )
  expect(isStored).toBe(true)
  // The other writer stores 999 entries. So one of the two entries of the page is stored, and both are counted.
  expect(await countStoredUnattributable()).toBe(1_000)
  await expect(store.count()).resolves.toMatchObject({
    users: 1,
    unattributable: { no_subject: 1_001 },
  })
})

test('a page is stored in one statement, with unattributable entries or after a wait for the lock', async () => {
  const wire = await openPostgresWire(database.url)
  const wiredStore = await openTestStore(wire)
  const unattributable = [{ logId: 'U', reason: 'no_subject', entry: '{}' }]
  const firstPage = page(CHECKPOINT, 'P1', [logout()])
  const statementsBefore = wire.statements().length
  await wiredStore.storePage({ ...firstPage, batch: { ...firstPage.batch, unattributable } })
  await writeWhileLocked(CHANGE_TENANT_ROW, () =>
    wiredStore.storePage(page('P1', 'P2', [logout({ at: NOON + 1 })])),
  )
  const statements = wire.statements().slice(statementsBefore)
  await wiredStore.close()
  await wire.close()
  // One statement for each page.
  expect(statements).toEqual([
    expect.stringMatching(/^WITH moved/),
    expect.stringMatching(/^WITH moved/),
  ])
  await expect(store.readProgress()).resolves.toMatchObject({ checkpoint: 'P2' })
})

// `as_of`: the log is known to have been read up to this instant. A catch-up reads pages to the end of the log. A sweep
// is a search of earlier parts of the log.
describe('as_of', () => {
  test('a page that ends the catch-up sets as_of to the storage time of its last entry, even if as_of was null', async () => {
    await store.storePage({ ...page(CHECKPOINT, 'P1'), endsCatchUp: true })
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: NOON })
  })

  test('a page that ends the catch-up does not set as_of before the sweep is complete', async () => {
    await store.moveCheckpoint(CHECKPOINT, 'P1', { from: NOON - 1_000, to: NOON })
    await store.storePage({ ...page('P1', 'P2'), endsCatchUp: true })
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: null })
  })
})

describe('while another writer holds the lock of the tenant row', () => {
  const PAGE = page(CHECKPOINT, 'P1', [logout()])

  test('a page waits, and is discarded if the checkpoint has moved meanwhile', async () => {
    const moveCheckpoint = `UPDATE tenant SET checkpoint = 'P9'`
    await expect(writeWhileLocked(moveCheckpoint, () => store.storePage(PAGE))).resolves.toBe(false)
    await expect(store.readProgress()).resolves.toMatchObject({ checkpoint: 'P9' })
    expect(await readRows(database)).toEqual({ users: [], sessions: [] })
  })

  test('a page does not move back a row that the other writer commits', async () => {
    // A logout of the same user 7 seconds later, and a last feed position that is far ahead of the current time.
    const storeLaterLogout = `
      INSERT INTO last_logout (user_id, at, log_id, type, seq)
      VALUES ('auth0|1', to_timestamp(${NOON / 1000 + 7}), 'L9', 'slo', 5);
      UPDATE tenant SET seq = 9000000000000000`
    await expect(writeWhileLocked(storeLaterLogout, () => store.storePage(PAGE))).resolves.toBe(
      true,
    )
    const { users, sessions } = await readRows(database)
    expect(users).toMatchObject([{ at: NOON + 7_000, logId: 'L9' }])
    expect(sessions).toMatchObject([{ at: NOON }])
    // The positions of the page, for its user and its session, are the next ones after that of the other writer.
    expect(await database.query('SELECT seq FROM session_logout')).toEqual([
      { seq: '9000000000000002' },
    ])
  })

  test('a page is stored if the other writer forgets a person meanwhile', async () => {
    const forget = 'UPDATE tenant SET forgotten_at = now()'
    await expect(writeWhileLocked(forget, () => store.storePage(PAGE))).resolves.toBe(true)
    expect((await readRows(database)).users).toHaveLength(1)
  })

  test.each(['read committed', 'repeatable read', 'serializable'])(
    'after the wait, a page, a lease and the end of a catch-up are stored if the default isolation is %s',
    async (isolation) => {
      await database.query(
        `ALTER DATABASE ${database.name} SET default_transaction_isolation = '${isolation}'`,
      )
      // The new default applies to new connections.
      const newStore = await openTestStore(database)
      const afterWait = <T>(write: () => Promise<T>) => writeWhileLocked(CHANGE_TENANT_ROW, write)
      expect(await afterWait(() => newStore.storePage(PAGE))).toBe(true)
      const ttlMs = 60_000
      expect(await afterWait(() => newStore.acquireLease('a', ttlMs))).toMatchObject({
        checkpoint: 'P1',
      })
      expect(await afterWait(() => newStore.storeCaughtUp('P1', NOON + 1))).toMatchObject({
        asOf: NOON + 1,
      })
      await newStore.close()
    },
  )

  test('only one of several concurrent pages from the same checkpoint is stored', async () => {
    const pages = Array.from({ length: 8 }, (_, n) =>
      page(CHECKPOINT, `P${n}`, [logout({ userId: `auth0|${n}`, sessionId: `S${n}` })]),
    )
    const areStored = await Promise.all(pages.map((each) => store.storePage(each)))
    expect(areStored.filter((isStored) => isStored)).toHaveLength(1)
    const { users } = await readRows(database)
    expect(users).toMatchObject([{ userId: `auth0|${areStored.indexOf(true)}` }])
  })
})
