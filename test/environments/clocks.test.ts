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

  const run = (...args: string[]) =>
    finishCommand(args, {
      AUTH0_DOMAIN: 'tenant.example',
      DATABASE_URL: database.url,
      ...fakeClockEnv(DAY_SECONDS),
    })

  test('floor raise now uses the clock of the database, and prints that', async () => {
    const { code, stdout } = await run('floor', 'raise', 'now')
    expect(code).toBe(0)
    expect(stdout).toMatch(
      /^The clock of this machine is 864\d\d s ahead of the clock of the database, which shows \S+Z\. The clock of the database applies\.$/m,
    )
    const { floorAt, now } = await store.readProgress()
    expect(floorAt).toBeLessThanOrEqual(now)
    expect(floorAt).toBeGreaterThan(now - 30_000)
  })

  test('logout stores the current instant of the clock of the database', async () => {
    const { code, stdout } = await run('logout', 'auth0|1')
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
  const start = async (clockAheadSeconds: number) => {
    const postgres = await startPostgres({}, { clockAheadSeconds })
    onTestFinished(() => postgres.remove())
    const [row] = await postgres.query<{ now: number }>(
      'SELECT extract(epoch FROM clock_timestamp())::float8 AS now',
    )
    // This fails if faketime does not change the clock, for example because Debian's faketime is not installed.
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

  test('a client returns unknown if the clock of the database is two hours behind', async () => {
    const service = await start(-2 * HOUR_SECONDS)
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

  test('the lag is two hours if the clock of the database is two hours ahead', async () => {
    const service = await start(2 * HOUR_SECONDS)
    service.logout('auth0|1')
    await service.waitForLogout('auth0|1')
    await expect
      .poll(async () => (await readUser(service.url, 'auth0|1')).lag_ms, WAIT)
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
  const logout = (userId: string) => {
    const at = Date.now() - 60_000
    return {
      ...fold([{ logId: userId, type: 'slo', at, userId, sessionId: null }]),
      unattributable: [],
    }
  }
  const open = async (server: TestPostgres): Promise<Store> => {
    const store = await openTestStore(server)
    onTestFinished(() => store.close())
    return store
  }
  const readAll = (store: Store, after: string | null) =>
    store.readChanges({ after, since: null, limit: 10 })
  const promote = async (server: TestPostgres) => {
    await server.promote()
    const isPrimary = async () =>
      (await server.query<{ on: string }>('SHOW transaction_read_only'))[0]
    await expect.poll(isPrimary, WAIT).toMatchObject({ transaction_read_only: 'off' })
  }

  test('a promoted replica rejects cursors of the old primary and of another promoted replica', async () => {
    const primary = await startPostgres()
    onTestFinished(() => primary.remove())
    const storeOnPrimary = await open(primary)
    await storeOnPrimary.storeBatch(logout('auth0|before'))
    const replicas = [
      await primary.replicate({ clockAheadSeconds: -2 * HOUR_SECONDS }),
      await primary.replicate({ clockAheadSeconds: -2 * HOUR_SECONDS }),
    ]
    for (const replica of replicas) onTestFinished(() => replica.remove())
    // The replicas receive only the first logout.
    for (const replica of replicas) await replica.stop()
    const newStoreOnPrimary = await open(primary)
    for (const n of [1, 2, 3]) await newStoreOnPrimary.storeBatch(logout(`auth0|lost-${n}`))
    const cursor = (await readAll(newStoreOnPrimary, null))?.cursor ?? ''
    await primary.stop('immediate')

    const cursors: string[] = []
    for (const replica of replicas) {
      await replica.start()
      await promote(replica)
      const store = await open(replica)
      // The replica has now assigned higher positions than the old primary, so the position in the cursor looks valid.
      for (let n = 0; n < 9; n++) await store.storeBatch(logout(`auth0|new-${n}`))
      await expect(readAll(store, cursor)).resolves.toBeNull()
      for (const otherCursor of cursors)
        await expect(readAll(store, otherCursor)).resolves.toBeNull()
      cursors.push((await readAll(store, null))?.cursor ?? '')
    }
    expect(new Set(cursors.map((cursor) => cursor.split('.')[0])).size).toBe(2)
  }, 60_000)
})
