import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { runCommand } from '../_support/cli.js'
import { type CommandRun, finishCommandLine, startCommandLine } from '../_support/command-line.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { freePort } from '../_support/port.js'
import { type Proxy as Address, openProxy } from '../_support/proxy.js'
import { KEY } from '../_support/served-api.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'
import { WAIT } from '../_support/wait.js'

let database: TestDatabase
let address: Address
let t: TestTenant
let env: Record<string, string>
beforeEach(async () => {
  database = await createTestDatabase()
  // Nothing listens at its target.
  address = await openProxy('postgres://127.0.0.1:1')
  t = await openTenant()
  env = {
    ...tenantEnv(t.simulator),
    DATABASE_URL: at(database),
    API_KEYS: `test:${KEY}`,
    PORT: await freePort(),
    POLL_INTERVAL: '200ms',
  }
})
afterEach(async () => {
  await Promise.all([t.close(), address.close()])
  await database.drop()
})

/** The URL of a database through the proxy. */
function at({ url }: TestDatabase, over: Partial<URL> = {}): string {
  return Object.assign(new URL(url), { host: new URL(address.url).host }, over).href
}

const warnings = (command: CommandRun) =>
  command.stdout().match(/"database unavailable, retrying"/g)?.length ?? 0

describe('when PostgreSQL is unavailable at the start', () => {
  test.each(['start', 'worker', 'api'])('%s waits until a signal stops it', async (name) => {
    const command = startCommandLine([name], env)
    await expect.poll(() => warnings(command), WAIT).toBe(1)
    command.stop()
    expect(await command.ended).toBe(0)
    expect(warnings(command)).toBe(1)
  })

  test.each([['sync'], ['status'], ['migrate'], ['floor', 'raise', 'now']])(
    '%s fails at once',
    async (...args) => {
      const { code, stderr } = await finishCommandLine(args, env)
      expect(code).toBe(1)
      expect(stderr).toMatch(/PostgreSQL is unreachable/)
    },
  )

  test('start serves 503 until PostgreSQL is available', async () => {
    const command = startCommandLine(['start'], env)
    const statusOf = async (path: string) => {
      const headers = { authorization: `Bearer ${KEY}` }
      return (await fetch(`http://127.0.0.1:${env.PORT}${path}`, { headers })).status
    }
    await expect.poll(() => statusOf('/health/live').catch(() => 0), WAIT).toBe(200)
    expect(await statusOf('/health/ready')).toBe(503)
    expect(await statusOf('/v1/users/x/last-logout')).toBe(503)
    expect(await statusOf('/v1/changes')).toBe(503)
    address.redirectTo(database.url)
    await expect.poll(command.stdout, WAIT).toContain('"polling"')
    expect(await statusOf('/v1/users/x/last-logout')).toBe(200)
    expect(command.stdout()).toMatch(/"connected to postgresql".*"serving"/s)
    command.stop()
    expect(await command.ended).toBe(0)
  })

  test('api exits with 2 when the database turns out to hold another tenant', async () => {
    await database.query(`INSERT INTO tenant (id, domain, seq) VALUES (1, 'other.example', 1)`)
    const command = startCommandLine(['api'], env)
    await expect.poll(() => warnings(command), WAIT).toBe(1)
    address.redirectTo(database.url)
    expect(await command.ended).toBe(2)
    expect(command.stderr()).toContain('other.example')
    expect(command.stdout()).not.toContain('"serving"')
  })
})

test('api shuts down while PostgreSQL is silent', async () => {
  address.redirectTo(database.url)
  const command = runCommand(['api'], env)
  await expect.poll(command.stdout, WAIT).toContain('"serving"')
  address.freeze()
  command.kill('SIGTERM')
  expect(await command.exited).toBe(0)
})

describe('when PostgreSQL refuses the connection, start fails at once', () => {
  test.each([
    ['refuses the password', { password: 'wr0ng' }, /28P01.*DATABASE_URL/],
    ['has no such database', { pathname: '/none' }, /3D000.*DATABASE_URL/],
  ])('where it %s', async (_case, over, message) => {
    address.redirectTo(database.url)
    const { code, stderr } = await finishCommandLine(['start'], {
      ...env,
      DATABASE_URL: at(database, over),
    })
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(message) })
    expect(stderr).not.toContain('wr0ng')
  })

  test('if it has not been migrated', async () => {
    const empty = await createTestDatabase('template0')
    const { code, stderr } = await finishCommandLine(['start'], { ...env, DATABASE_URL: empty.url })
    await empty.drop()
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('migrate') })
  })
})
