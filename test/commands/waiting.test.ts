import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { runCommand } from '../_support/cli.js'
import { type CommandRun, finishCommandLine, startCommandLine } from '../_support/command-line.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { findUnusedPort } from '../_support/port.js'
import { openProxy, type Proxy as PostgresProxy } from '../_support/proxy.js'
import { KEY } from '../_support/served-api.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'
import { WAIT } from '../_support/wait.js'

let database: TestDatabase
let proxy: PostgresProxy
let auth0: TestTenant
let env: Record<string, string>
beforeEach(async () => {
  database = await createTestDatabase()
  // No server listens at this target. A test makes PostgreSQL available with `proxy.redirectTo`.
  proxy = await openProxy('postgres://127.0.0.1:1')
  auth0 = await openTenant()
  env = {
    ...tenantEnv(auth0.simulator),
    DATABASE_URL: urlThroughProxy(database),
    API_KEYS: `test:${KEY}`,
    PORT: await findUnusedPort(),
    POLL_INTERVAL: '200ms',
  }
})
afterEach(async () => {
  await Promise.all([auth0.close(), proxy.close()])
  await database.drop()
})

/** Returns the URL of a database through the proxy. `overrides` replaces parts of the URL. */
function urlThroughProxy({ url }: TestDatabase, overrides: Partial<URL> = {}): string {
  return Object.assign(new URL(url), { host: new URL(proxy.url).host }, overrides).href
}

const countWarnings = (command: CommandRun) =>
  command.stdout().match(/"database unavailable, retrying"/g)?.length ?? 0

describe('when PostgreSQL is unavailable at the start', () => {
  test.each(['start', 'worker', 'api'])(
    '%s waits for PostgreSQL until a signal stops the command',
    async (name) => {
      const command = startCommandLine([name], env)
      await expect.poll(() => countWarnings(command), WAIT).toBe(1)
      command.stop()
      expect(await command.ended).toBe(0)
      expect(countWarnings(command)).toBe(1)
    },
  )

  test.each(['sync', 'status', 'migrate', 'floor raise now'])(
    '%s fails at once if PostgreSQL is unavailable',
    async (command) => {
      const { code, stderr } = await finishCommandLine(command.split(' '), env)
      expect(code).toBe(1)
      expect(stderr).toMatch(/PostgreSQL is unreachable/)
    },
  )

  test('start serves 503 until PostgreSQL is available', async () => {
    const command = startCommandLine(['start'], env)
    /** Returns the status of a response of the API. Throws if the server does not listen yet. */
    const statusOf = async (path: string) => {
      const headers = { authorization: `Bearer ${KEY}` }
      return (await fetch(`http://127.0.0.1:${env.PORT}${path}`, { headers })).status
    }
    await expect.poll(() => statusOf('/health/live').catch(() => null), WAIT).toBe(200)
    expect(await statusOf('/health/ready')).toBe(503)
    expect(await statusOf('/v1/users/x/last-logout')).toBe(503)
    expect(await statusOf('/v1/changes')).toBe(503)
    proxy.redirectTo(database.url)
    await expect.poll(command.stdout, WAIT).toContain('"polling"')
    expect(await statusOf('/v1/users/x/last-logout')).toBe(200)
    expect(command.stdout()).toMatch(/"connected to postgresql".*"serving"/s)
    command.stop()
    expect(await command.ended).toBe(0)
  })

  test('api waits for PostgreSQL, and exits with 2 if the database contains another tenant', async () => {
    await database.query(`INSERT INTO tenant (id, domain, seq) VALUES (1, 'other.example', 1)`)
    const command = startCommandLine(['api'], env)
    await expect.poll(() => countWarnings(command), WAIT).toBe(1)
    proxy.redirectTo(database.url)
    expect(await command.ended).toBe(2)
    expect(command.stderr()).toContain('other.example')
    expect(command.stdout()).not.toContain('"serving"')
  })
})

test('api shuts down while PostgreSQL does not respond', async () => {
  proxy.redirectTo(database.url)
  const command = runCommand(['api'], env)
  await expect.poll(command.stdout, WAIT).toContain('"serving"')
  proxy.freeze()
  command.kill('SIGTERM')
  expect(await command.exited).toBe(0)
})

describe('when PostgreSQL is available and the database cannot be used', () => {
  const WRONG_PASSWORD = 'wr0ng'

  // The messages contain PostgreSQL's error code.
  test.each([
    ['refuses the password', { password: WRONG_PASSWORD }, /28P01.*DATABASE_URL/],
    ['has no such database', { pathname: '/none' }, /3D000.*DATABASE_URL/],
  ])('start fails at once if PostgreSQL %s', async (_reason, overrides, message) => {
    proxy.redirectTo(database.url)
    const { code, stderr } = await finishCommandLine(['start'], {
      ...env,
      DATABASE_URL: urlThroughProxy(database, overrides),
    })
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(message) })
    expect(stderr).not.toContain(WRONG_PASSWORD)
  })

  test('start fails at once if the database has not been migrated', async () => {
    const emptyDatabase = await createTestDatabase('template0')
    const { code, stderr } = await finishCommandLine(['start'], {
      ...env,
      DATABASE_URL: emptyDatabase.url,
    })
    await emptyDatabase.drop()
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('migrate') })
  })
})
