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
import { worksIn } from './compatibility.js'

const HOUR_SECONDS = 3_600
const DAY_SECONDS = 24 * HOUR_SECONDS

type Store = LastLogoutStore & { close(): Promise<void> }

const MACHINE_AHEAD = worksIn(
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
      // A day has 86,400 s. The command starts a few seconds later.
      /^The clock of this machine is 864\d\d s ahead of the clock of the database, which shows \S+Z\. The clock of the database applies\.$/m,
    )
    const { floorAt, now } = await store.readProgress()
    expect(floorAt).toBeLessThanOrEqual(now)
    // The margin of 30 s is for a busy machine.
    expect(floorAt).toBeGreaterThan(now - 30_000)
  })

  test('`logout` stores the current time of the clock of the database', async () => {
    const { code, stdout } = await runADayAhead('logout', 'auth0|1')
    expect(code).toBe(0)
    expect(stdout).toContain('The clock of the database applies.')
    const { user, now } = await store.readKnownLogouts('auth0|1', null)
    expect(user?.at).toBeLessThanOrEqual(now)
    expect(user?.at).toBeGreaterThan(now - 30_000)
  })
})

const WRONG_DATABASE = worksIn(
  'Machines and clocks',
  'a database whose clock is two hours off',
  'no data is fresh, so clients return unknown',
)

describe('a database whose clock is wrong', WRONG_DATABASE, () => {
  /** Runs a service whose database has a clock that is ahead or, with a negative argument, behind. */
  const startService = async (clockAheadSeconds: number) => {
    const postgres = await startPostgres({}, { clockAheadSeconds })
    onTestFinished(() => postgres.remove())
    const [row] = await postgres.query<{ now: number }>(
      'SELECT extract(epoch FROM clock_timestamp())::float8 AS now',
    )
    // This fails if faketime does not change the clock of PostgreSQL, for example because Debian's faketime is not
    // installed.
    expect(Math.abs((row?.now ?? 0) - Date.now() / 1000 - clockAheadSeconds)).toBeLessThan(60)
    const service = await runService({ DATABASE_URL: postgres.url })
    onTestFinished(() => service.close())
    return service
  }
  const readUser = async (url: string, user: string) => {
    const response = await fetch(`${url}/v1/users/${encodeURIComponent(user)}/last-logout`, {
      headers: { authorization: `Bearer ${KEY}` },
    })
    return (await response.json()) as { lag_ms: number | null; last_logout_at: string | null }
  }

  test('if the clock of the database is two hours behind, the data has no lag, and a client returns unknown', async () => {
    const service = await startService(-2 * HOUR_SECONDS)
    service.logout('auth0|1')
    await service.waitForLogout('auth0|1')
    await expect.poll(() => service.countLines('error', /^job failed$/), WAIT).toBeGreaterThan(0)
    await expect(readUser(service.url, 'auth0|1')).resolves.toMatchObject({ lag_ms: null })
    await expect(service.requestStatus('/health/fresh')).resolves.toBe(503)
    const client = openClient(service.url, { lookup: 'request' })
    onTestFinished(() => client.close())
    // The database stores the logout two hours too early, so this login is after the stored instant.
    const iat = Date.now() / 1000 - HOUR_SECONDS
    const decision = await client.check({ sub: 'auth0|1', iat })
    expect(decision).toMatchObject({ allowed: false, outcome: 'unknown', reason: 'stale' })
  }, 60_000)

  test('if the clock of the database is two hours ahead, the lag is two hours, and /health/fresh responds with 503', async () => {
    const service = await startService(2 * HOUR_SECONDS)
    service.logout('auth0|1')
    await service.waitForLogout('auth0|1')
    await expect
      .poll(async () => (await readUser(service.url, 'auth0|1')).lag_ms, WAIT)
      // Two hours are 7,200,000 ms. The margin is 10 s.
      .toBeGreaterThan(7_190_000)
    await expect(service.requestStatus('/health/fresh')).resolves.toBe(503)
  }, 60_000)
})

const PROMOTED = worksIn(
  'PostgreSQL poolers and replicas',
  'a promoted replica whose clock is two hours behind',
  'cursors of the old primary are reset',
)

describe('a replica that is promoted, and whose clock is two hours behind', PROMOTED, () => {
  /** A batch with one logout of a user, to store. */
  const logoutOf = (userId: string) => {
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
  /** Reads the change feed after a cursor; `null`: from its beginning. Returns `null` if the cursor is rejected. */
  const readFeed = (store: Store, after: string | null) =>
    store.readChanges({ after, since: null, limit: 10 })
  const promote = async (server: TestPostgres) => {
    await server.promote()
    const readSetting = async () => (await server.query('SHOW transaction_read_only'))[0]
    await expect.poll(readSetting, WAIT).toMatchObject({ transaction_read_only: 'off' })
  }

  test('a promoted replica rejects cursors of the old primary and of another promoted replica', async () => {
    const primary = await startPostgres()
    onTestFinished(() => primary.remove())
    const storeOnPrimary = await openStoreOn(primary)
    await storeOnPrimary.storeBatch(logoutOf('auth0|before'))
    const replicas = [
      await primary.replicate({ clockAheadSeconds: -2 * HOUR_SECONDS }),
      await primary.replicate({ clockAheadSeconds: -2 * HOUR_SECONDS }),
    ]
    for (const replica of replicas) onTestFinished(() => replica.remove())
    // The replicas receive only the first logout.
    for (const replica of replicas) await replica.stop()
    const newStoreOnPrimary = await openStoreOn(primary)
    for (const n of [1, 2, 3]) await newStoreOnPrimary.storeBatch(logoutOf(`auth0|lost-${n}`))
    const cursor = (await readFeed(newStoreOnPrimary, null))?.cursor ?? ''
    await primary.stop('immediate')

    const cursors: string[] = []
    for (const replica of replicas) {
      await replica.start()
      await promote(replica)
      const store = await openStoreOn(replica)
      // A cursor contains a position. The replica assigns higher positions than the old primary did, so the position in
      // the cursor of the old primary exists on the replica.
      for (let n = 0; n < 9; n++) await store.storeBatch(logoutOf(`auth0|new-${n}`))
      await expect(readFeed(store, cursor)).resolves.toBeNull()
      for (const otherCursor of cursors)
        await expect(readFeed(store, otherCursor)).resolves.toBeNull()
      cursors.push((await readFeed(store, null))?.cursor ?? '')
    }
    // The first part of a cursor is the random id of the feed. Each promoted replica gives its feed another id.
    expect(new Set(cursors.map((cursor) => cursor.split('.')[0])).size).toBe(2)
  }, 60_000)
})
