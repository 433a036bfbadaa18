import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import { fold } from '../../src/rules/fold.js'
import { finishCommand } from '../_support/cli.js'
import { openClient } from '../_support/client.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { fakeClockEnv } from '../_support/faketime.js'
import { startPostgres, type TestPostgres } from '../_support/postgres.js'
import { runService } from '../_support/running-service.js'
import { KEY } from '../_support/served-api.js'
import { openTestStore } from '../_support/store.js'
import { WAIT } from '../_support/wait.js'
import { listedAsWorking } from './compatibility.js'

// The clock of PostgreSQL decides which logouts are in the future, and how old the data is. These tests run the service
// on a machine with a wrong clock, with a database whose clock is wrong, and after a failover to such a database.
// `listedAsWorking` adds each environment to docs/compatibility.md.

const HOUR_SECONDS = 3_600
const DAY_SECONDS = 24 * HOUR_SECONDS
/** Maximum time in milliseconds that a command takes, even on a busy machine. */
const MAX_COMMAND_MS = 30_000

type Store = LastLogoutStore & { close(): Promise<void> }

const MACHINE_AHEAD = listedAsWorking(
  'Machines and clocks',
  'a machine whose clock is a day ahead',
  'commands take the clock of the database',
)

describe('a command on a machine whose clock is a day ahead', MACHINE_AHEAD, () => {
  let database: TestDatabase
  let store: Store
  beforeEach(async () => {
    database = await createTestDatabase()
    store = await openTestStore(database)
  })
  afterEach(async () => {
    await store.close()
    await database.drop()
  })

  /** Runs a command with a clock that is a day ahead of the clock of the database. */
  const runADayAhead = (...args: string[]) =>
    finishCommand(args, {
      AUTH0_DOMAIN: 'tenant.example',
      DATABASE_URL: database.url,
      ...fakeClockEnv(DAY_SECONDS),
    })

  test('`floor raise now` uses the clock of the database, and reports the difference between the clocks', async () => {
    const { code, stdout } = await runADayAhead('floor', 'raise', 'now')
    expect(code).toBe(0)
    expect(stdout).toMatch(
      // A day has 86,400 s. A few seconds can pass between the readings of the two clocks.
      /^The clock of this machine is 864\d\d s ahead of the clock of the database, which shows \S+Z\. The clock of the database applies\.$/m,
    )
    const { floorAt, now } = await store.readProgress()
    expect(floorAt).toBeLessThanOrEqual(now)
    expect(floorAt).toBeGreaterThan(now - MAX_COMMAND_MS)
  })

  test('`logout` stores the current time of the clock of the database', async () => {
    const { code, stdout } = await runADayAhead('logout', 'auth0|1')
    expect(code).toBe(0)
    expect(stdout).toContain('The clock of the database applies.')
    const { user, now } = await store.readKnownLogouts('auth0|1', null)
    expect(user?.at).toBeLessThanOrEqual(now)
    expect(user?.at).toBeGreaterThan(now - MAX_COMMAND_MS)
  })
})

const WRONG_DATABASE = listedAsWorking(
  'Machines and clocks',
  'a database whose clock is two hours off',
  'no data is fresh, so clients return unknown',
)

describe('a database whose clock is wrong', WRONG_DATABASE, () => {
  /** Runs a service whose database has a clock that is this much ahead or, if the number is negative, behind. */
  const startService = async (clockAheadSeconds: number) => {
    const postgres = await startPostgres({}, { clockAheadSeconds })
    onTestFinished(() => postgres.remove())
    const [row] = await postgres.query<{ seconds: number }>(
      'SELECT extract(epoch FROM clock_timestamp())::float8 AS seconds',
    )
    const measuredAheadSeconds = (row?.seconds ?? 0) - Date.now() / 1000
    // Fails if the clock of PostgreSQL is unchanged, for example because Debian's package faketime is not installed.
    expect(Math.abs(measuredAheadSeconds - clockAheadSeconds)).toBeLessThan(60)
    const service = await runService({ DATABASE_URL: postgres.url })
    onTestFinished(() => service.close())
    return service
  }
  /** Requests the last logout of a user. `lag_ms` is the age of the data by the clock of the database. */
  const requestUser = async (url: string, user: string) => {
    const response = await fetch(`${url}/v1/users/${encodeURIComponent(user)}/last-logout`, {
      headers: { authorization: `Bearer ${KEY}` },
    })
    return (await response.json()) as { lag_ms: number | null }
  }

  test('if the clock of the database is two hours behind, lag_ms is null, /health/fresh responds with 503, and a client returns unknown', async () => {
    const service = await startService(-2 * HOUR_SECONDS)
    service.logout('auth0|1')
    await service.waitForLogout('auth0|1')
    // Polls fail, because the entries of the log are in the future by the clock of the database.
    await expect.poll(() => service.countLines('error', /^job failed$/), WAIT).toBeGreaterThan(0)
    await expect(requestUser(service.url, 'auth0|1')).resolves.toMatchObject({ lag_ms: null })
    await expect(service.requestStatus('/health/fresh')).resolves.toBe(503)
    const client = openClient(service.url, { lookup: 'request' })
    onTestFinished(() => client.close())
    // The stored instant of the logout is two hours too early, so this login an hour ago would count as later.
    const loginAtSeconds = Date.now() / 1000 - HOUR_SECONDS
    const decision = await client.check({ sub: 'auth0|1', iat: loginAtSeconds })
    expect(decision).toMatchObject({ allowed: false, outcome: 'unknown', reason: 'stale' })
  }, 60_000)

  test('if the clock of the database is two hours ahead, the lag is two hours, and /health/fresh responds with 503', async () => {
    const service = await startService(2 * HOUR_SECONDS)
    service.logout('auth0|1')
    await service.waitForLogout('auth0|1')
    await expect
      .poll(async () => (await requestUser(service.url, 'auth0|1')).lag_ms, WAIT)
      // The lag can be slightly less than two hours, because the service reads the log every 200 ms.
      .toBeGreaterThan(2 * HOUR_SECONDS * 1000 - 10_000)
    await expect(service.requestStatus('/health/fresh')).resolves.toBe(503)
  }, 60_000)
})

const PROMOTED = listedAsWorking(
  'PostgreSQL poolers and replicas',
  'a promoted replica whose clock is two hours behind',
  'cursors of the old primary are reset',
)

describe('a promoted replica whose clock is two hours behind', PROMOTED, () => {
  /** Builds a batch with one logout of a user, for `storeBatch`. */
  const buildLogout = (userId: string) => {
    const at = Date.now() - 60_000
    return {
      ...fold([{ logId: userId, type: 'slo', at, userId, sessionId: null }]),
      unattributable: [],
    }
  }
  const openStoreOn = async (server: TestPostgres): Promise<Store> => {
    const store = await openTestStore(server)
    onTestFinished(() => store.close())
    return store
  }
  /**
   * Reads the change feed after a cursor, the position of a subscriber. If `after` is `null`, reads from the beginning.
   * Returns `null` if the cursor is rejected.
   */
  const readFeed = (store: Store, after: string | null) =>
    store.readChanges({ after, since: null, limit: 10 })
  /** Promotes a replica, and waits until it accepts writes. */
  const promote = async (server: TestPostgres) => {
    await server.promote()
    const readSettings = () => server.query('SHOW transaction_read_only')
    await expect.poll(readSettings, WAIT).toEqual([{ transaction_read_only: 'off' }])
  }

  test('a promoted replica rejects cursors of the old primary and of another promoted replica', async () => {
    const primary = await startPostgres()
    onTestFinished(() => primary.remove())
    const storeOnPrimary = await openStoreOn(primary)
    await storeOnPrimary.storeBatch(buildLogout('auth0|before'))
    const replicas = [
      await primary.replicate({ clockAheadSeconds: -2 * HOUR_SECONDS }),
      await primary.replicate({ clockAheadSeconds: -2 * HOUR_SECONDS }),
    ]
    for (const replica of replicas) onTestFinished(() => replica.remove())
    // The replicas stop before the primary stores three more logouts, so these logouts are lost.
    for (const replica of replicas) await replica.stop()
    const newStoreOnPrimary = await openStoreOn(primary)
    for (const n of [1, 2, 3]) await newStoreOnPrimary.storeBatch(buildLogout(`auth0|lost-${n}`))
    const primaryCursor = (await readFeed(newStoreOnPrimary, null))?.cursor ?? ''
    await primary.stop('immediate')

    const replicaCursors: string[] = []
    for (const replica of replicas) {
      await replica.start()
      await promote(replica)
      const store = await openStoreOn(replica)
      // A cursor contains a position in the feed. With nine more logouts, the feed of the replica is longer than that
      // of the primary, so that it also has the position in `primaryCursor`. But another logout is at this position.
      for (let n = 0; n < 9; n++) await store.storeBatch(buildLogout(`auth0|new-${n}`))
      await expect(readFeed(store, primaryCursor)).resolves.toBeNull()
      for (const otherCursor of replicaCursors) {
        await expect(readFeed(store, otherCursor)).resolves.toBeNull()
      }
      replicaCursors.push((await readFeed(store, null))?.cursor ?? '')
    }
    // The first part of a cursor is the random id of the feed. Each promoted replica gives its feed a new id.
    const feedIds = replicaCursors.map((cursor) => cursor.split('.')[0])
    expect(new Set(feedIds).size).toBe(replicas.length)
  }, 60_000)
})
