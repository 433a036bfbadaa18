import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import { fold } from '../../src/rules/fold.js'
import { finishCommand } from '../_support/cli.js'
import { openClient } from '../_support/client.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { fakeClock } from '../_support/faketime.js'
import { startPostgres, type TestPostgres } from '../_support/postgres.js'
import { runService } from '../_support/running-service.js'
import { KEY } from '../_support/served-api.js'
import { openTestStore } from '../_support/store.js'
import { WAIT } from '../_support/wait.js'
import { works } from './compatibility.js'

const HOUR = 3_600
const DAY = 24 * HOUR

type Store = LastLogoutStore & { close(): Promise<void> }

const MACHINE_AHEAD = works(
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
      ...fakeClock(DAY),
    })

  test('raises the floor to now by the clock of the database, and states which clock applies', async () => {
    const { code, stdout } = await run('floor', 'raise', 'now')
    expect(code).toBe(0)
    expect(stdout).toMatch(
      /^The clock of this machine is 864\d\d s ahead of the clock of the database, which shows \S+Z\. The clock of the database applies\.$/m,
    )
    const { floorAt, now } = await store.readProgress()
    expect(floorAt).toBeLessThanOrEqual(now)
    expect(floorAt).toBeGreaterThan(now - 30_000)
  })

  test('ends tokens up to now by the clock of the database', async () => {
    const { code, stdout } = await run('logout', 'auth0|1')
    expect(code).toBe(0)
    expect(stdout).toContain('The clock of the database applies.')
    const { user, now } = await store.readKnown('auth0|1', null)
    expect(user?.at).toBeLessThanOrEqual(now)
    expect(user?.at).toBeGreaterThan(now - 30_000)
  })
})

const WRONG_DATABASE = works(
  'Machines and clocks',
  'a database whose clock is two hours off',
  'nothing is fresh: clients answer unknown',
)

describe('a database whose clock is wrong', WRONG_DATABASE, () => {
  const start = async (clockAheadSeconds: number) => {
    const postgres = await startPostgres({}, { clockAheadSeconds })
    onTestFinished(() => postgres.remove())
    const [row] = await postgres.query<{ now: number }>(
      'SELECT extract(epoch FROM clock_timestamp())::float8 AS now',
    )
    // Without Debian's faketime this is where it shows.
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

  test('and two hours behind makes nothing fresh, and clients answer unknown', async () => {
    const service = await start(-2 * HOUR)
    service.logout('auth0|1')
    await service.waitForLogout('auth0|1')
    await expect.poll(() => service.countLines('error', /^job failed$/), WAIT).toBeGreaterThan(0)
    await expect(readUser(service.url, 'auth0|1')).resolves.toMatchObject({ lag_ms: null })
    await expect(service.requestStatus('/health/fresh')).resolves.toBe(503)
    const client = openClient(service.url, { lookup: 'request' })
    onTestFinished(() => client.close())
    // A login in the two hours that the stored logout is too early.
    const iat = Date.now() / 1000 - HOUR
    const decision = await client.check({ sub: 'auth0|1', iat })
    expect(decision).toMatchObject({ allowed: false, outcome: 'unknown', reason: 'stale' })
  }, 60_000)

  test('and two hours ahead makes everything two hours old', async () => {
    const service = await start(2 * HOUR)
    service.logout('auth0|1')
    await service.waitForLogout('auth0|1')
    await expect
      .poll(async () => (await readUser(service.url, 'auth0|1')).lag_ms, WAIT)
      .toBeGreaterThan(7_190_000)
    await expect(service.requestStatus('/health/fresh')).resolves.toBe(503)
  }, 60_000)
})

const PROMOTED = works(
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

  test('takes no cursor of the old primary, nor of a sibling on the same new timeline', async () => {
    const primary = await startPostgres()
    onTestFinished(() => primary.remove())
    const old = await open(primary)
    await old.storeBatch(logout('auth0|before'))
    const replicas = [
      await primary.replicate({ clockAheadSeconds: -2 * HOUR }),
      await primary.replicate({ clockAheadSeconds: -2 * HOUR }),
    ]
    for (const replica of replicas) onTestFinished(() => replica.remove())
    // The replicas learn of the first logout only.
    for (const replica of replicas) await replica.stop()
    const behind = await open(primary)
    for (const n of [1, 2, 3]) await behind.storeBatch(logout(`auth0|lost-${n}`))
    const cursor = (await readAll(behind, null))?.cursor ?? ''
    await primary.stop('immediate')

    const cursors: string[] = []
    for (const replica of replicas) {
      await replica.start()
      await promote(replica)
      const store = await open(replica)
      // More than the old primary has given out since: positions alone would pass for known.
      for (let n = 0; n < 9; n++) await store.storeBatch(logout(`auth0|new-${n}`))
      await expect(readAll(store, cursor)).resolves.toBeNull()
      for (const other of cursors) await expect(readAll(store, other)).resolves.toBeNull()
      cursors.push((await readAll(store, null))?.cursor ?? '')
    }
    expect(new Set(cursors.map((each) => each.split('.')[0])).size).toBe(2)
  }, 60_000)
})
