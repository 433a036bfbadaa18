import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { openClient } from '../_support/client.js'
import { finishCommandLine } from '../_support/command-line.js'
import { startPostgres, type TestPostgres } from '../_support/postgres.js'
import { runService } from '../_support/running-service.js'
import { KEY } from '../_support/served-api.js'
import { readRows } from '../_support/store.js'
import { openTenant, tenantEnv } from '../_support/tenant.js'
import { WAIT } from '../_support/wait.js'
import { listedAsRefused, listedAsWorking } from './compatibility.js'
import { findPostgresVersion, POSTGRES_VERSIONS } from './postgres-versions.js'

describe.each(POSTGRES_VERSIONS)('on PostgreSQL %d', (major) => {
  /** A server whose database has no tables at first. The test of `migrate` creates the tables for the later tests. */
  let postgres: TestPostgres
  beforeAll(async () => {
    postgres = await startPostgres({}, { binaries: findPostgresVersion(major), isEmpty: true })
  })
  afterAll(() => postgres?.remove())

  test(`the server of these tests reports the version ${major}`, async () => {
    const [row] = await postgres.query<{ server_version: string }>('SHOW server_version')
    expect(row?.server_version).toMatch(new RegExp(`^${major}\\.`))
  })

  test('migrate creates the tables, and a second run changes nothing', async () => {
    const env = { AUTH0_DOMAIN: 'tenant.example', DATABASE_URL: postgres.url }
    const { code, stdout } = await finishCommandLine(['migrate'], env)
    expect(code).toBe(0)
    // The name of the first migration.
    expect(stdout).toContain('20261124000000_init')
    const secondResult = await finishCommandLine(['migrate'], env)
    expect(secondResult.code).toBe(0)
    expect(secondResult.stdout).toContain('up to date')
  })

  test(
    'a logout in the log of Auth0 reaches the store, the API and the feed, and the service logs no warning',
    listedAsWorking('PostgreSQL', `PostgreSQL ${major}`),
    async () => {
      const service = await runService({ DATABASE_URL: postgres.url })
      onTestFinished(service.close)
      const client = openClient(service.url)
      onTestFinished(client.close)
      await client.ready()
      const userId = 'auth0|1'
      // The claims of a token that was issued a minute ago, before the logouts.
      const claims = { sub: userId, iat: Math.floor(Date.now() / 1000) - 60 }
      expect(client.checkNow(claims).outcome).toBe('accepted')

      service.logout(userId)
      await service.waitForLogout(userId)
      await expect.poll(() => client.checkNow(claims).outcome, WAIT).toBe('revoked')
      expect(await service.reportLogout('auth0|reported')).toBe(200)
      const { users } = await readRows(postgres)
      expect(users.map((user) => user.userId)).toEqual([userId, 'auth0|reported'])
      expect(service.countLines('warn', /./)).toBe(0)
      expect(service.countLines('error', /./)).toBe(0)
    },
  )

  test('doctor reports no problem with the database, the queue and the notifications', async () => {
    const testTenant = await openTenant()
    onTestFinished(testTenant.close)
    const env = { ...tenantEnv(testTenant.simulator), DATABASE_URL: postgres.url }
    const { stdout } = await finishCommandLine(['doctor'], env)
    for (const name of ['database', 'migrations', 'queue', 'notifications', 'privileges']) {
      expect(stdout).toMatch(new RegExp(`^ok +${name} `, 'm'))
    }
  })
})

test.each(['migrate', 'api', 'worker', 'status'])(
  '%s refuses PostgreSQL 13',
  listedAsRefused(
    'PostgreSQL',
    'PostgreSQL 13 and older',
    'exit code 2: use PostgreSQL 14 or later',
  ),
  async (command) => {
    const postgres = await startPostgres({}, { binaries: findPostgresVersion(13), isEmpty: true })
    onTestFinished(() => postgres.remove())
    const testTenant = await openTenant()
    onTestFinished(testTenant.close)
    const env = {
      ...tenantEnv(testTenant.simulator),
      DATABASE_URL: postgres.url,
      API_KEYS: `test:${KEY}`,
    }
    const { code, stderr } = await finishCommandLine([command], env)
    expect(code).toBe(2)
    expect(stderr).toMatch(
      /^last-logout: PostgreSQL 13\.\d+ is not supported: use PostgreSQL 14 or later\n$/,
    )
  },
)
