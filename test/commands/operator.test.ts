import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { finishCommandLine, startCommandLine } from '../_support/command-line.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openTestStore, readRows } from '../_support/store.js'
import { DOMAIN, openTenant, type TestTenant } from '../_support/tenant.js'

const iso = (at: number) => new Date(at).toISOString()

let database: TestDatabase
let env: Record<string, string>
beforeEach(async () => {
  database = await createTestDatabase()
  env = { AUTH0_DOMAIN: 'tenant.example', DATABASE_URL: database.url }
})
afterEach(() => database.drop())

const run = (...args: string[]) => finishCommandLine(args, env)

describe('logout', () => {
  test('logout revokes all tokens of the user, and prints that it does not end Auth0 sessions', async () => {
    const before = Date.now()
    const { code, stdout, stderr } = await run('logout', 'auth0|1')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(
      /^Tokens of auth0\|1 are revoked unless their login is later than \S+Z\.$/m,
    )
    expect(stdout).toContain('does not end Auth0 sessions')
    expect(stdout).toContain('Check that the id equals the sub claim')
    const [user] = (await readRows(database)).users
    expect(user).toMatchObject({ userId: 'auth0|1', logId: '', type: 'operator_logout' })
    expect(user?.at).toBe(user?.allSessionsAt)
    expect(user?.at).toBeGreaterThanOrEqual(before)
    expect(user?.at).toBeLessThanOrEqual(Date.now())
  })

  test('logout --session revokes the tokens of the session, and does not mark the session as ended', async () => {
    const at = Date.now() - 5_000
    const { code, stdout } = await run('logout', 'auth0|1', '--session', 'S1', '--at', iso(at))
    expect(code).toBe(0)
    expect(stdout).toContain(
      `of auth0|1 in session S1 are revoked unless their login is later than ${iso(at)}`,
    )
    const { users, sessions } = await readRows(database)
    expect(sessions).toMatchObject([{ sessionId: 'S1', userId: 'auth0|1', at, ended: false }])
    expect(users).toMatchObject([{ at, allSessionsAt: null }])
  })

  test('logout --session applies to all sessions if POLICY is user', async () => {
    env.POLICY = 'user'
    const { stdout } = await run('logout', 'auth0|1', '--session', 'S1')
    expect(stdout).toMatch(/^Tokens of auth0\|1 are revoked .*POLICY is user/)
  })

  test('logout with an instant before the stored logout keeps the stored logout, and prints its time', async () => {
    const at = Date.now() - 5_000
    await run('logout', 'auth0|1', '--at', iso(at))
    const { stdout } = await run('logout', 'auth0|1', '--at', iso(at - 1))
    expect(stdout).toContain(`later than ${iso(at)}, the time of a later known logout`)
    expect(stdout).not.toContain('Check that the id equals the sub claim')
    expect((await readRows(database)).users).toMatchObject([{ at }])
  })

  test.each([
    ['a future instant', ['auth0|1', '--at', iso(Date.now() + 600_000)], /in the future/],
    ['a word instead of an instant', ['auth0|1', '--at', 'yesterday'], /use now, or a time/],
    ['an implausible instant', ['auth0|1', '--at', '1999-12-31T23:59:59Z'], /from 2000 to 2199/],
    [
      'a day that the month does not have',
      ['auth0|1', '--at', '2026-02-30T00:00:00Z'],
      /instant is invalid/,
    ],
    ['an empty session id', ['auth0|1', '--session', ''], /session id is invalid/],
    ['a user id that is too long', ['a'.repeat(801)], /user id is invalid/],
    [
      'an id that the shell has cut off',
      ['auth0'],
      /Quote the id.*`last-logout logout 'auth0\|123'`/,
    ],
    ['an application', ['app@clients'], /is an application/],
    ['no user', [], /missing required argument/],
  ])('logout with %s exits with 2, and stores nothing', async (_case, args, expected) => {
    const { code, stdout, stderr } = await run('logout', ...args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(expected)
    expect((await readRows(database)).users).toEqual([])
  })
})

/** The floor is an instant: the tokens of all users whose login is not after it are revoked. */
describe('floor raise', () => {
  const readFloor = async () => {
    const store = await openTestStore(database)
    const { floorAt } = await store.readProgress()
    await store.close()
    return floorAt
  }

  test('floor raise raises the floor, and prints which tokens are revoked', async () => {
    const at = Date.now() - 5_000
    const { code, stdout, stderr } = await run('floor', 'raise', iso(at))
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain(`The floor of tenant.example is now ${iso(at)}: tokens of all users`)
    expect(stdout).toMatch(/not end Auth0 sessions[\s\S]*@clients/)
    expect(await readFloor()).toBe(at)
  })

  test('floor raise never lowers the floor, and prints the current floor', async () => {
    await run('floor', 'raise', 'now')
    const floor = (await readFloor()) ?? 0
    expect(Date.now() - floor).toBeLessThan(20_000)
    const { code, stdout } = await run('floor', 'raise', iso(floor - 1))
    expect(code).toBe(0)
    expect(stdout).toContain(`stays at ${iso(floor)}`)
    expect(await readFloor()).toBe(floor)
  })

  test.each([
    [iso(Date.now() + 600_000), /in the future.*Use now/],
    ['2026-11-24', /use now, or a time/],
  ])('floor raise %s exits with 2, and changes nothing', async (instant, expected) => {
    const { code, stderr } = await run('floor', 'raise', instant)
    expect(code).toBe(2)
    expect(stderr).toMatch(expected)
    expect(await readFloor()).toBeNull()
  })
})

/** With DATA_DIR instead of DATABASE_URL, the service runs its own PostgreSQL in this directory. */
describe('with DATA_DIR', () => {
  /** A token with the header `{}` and a signature that no command verifies. */
  const token = `e30.${Buffer.from('{"sub":"auth0|1","iat":1}').toString('base64url')}.c2ln`
  const commands: [string, ...string[]][] = [
    ['status'],
    ['explain', token],
    ['logout', 'auth0|1'],
    ['floor', 'raise', 'now'],
  ]
  let parent: string
  let dataDir: string
  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), 'last-logout-operator-'))
    await chmod(parent, 0o711)
    dataDir = join(parent, 'data')
    env = { AUTH0_DOMAIN: 'tenant.example', DATA_DIR: dataDir }
  })
  afterEach(() => rm(parent, { recursive: true, force: true }))

  test.each(commands)('%s creates no database in DATA_DIR, and exits with 2', async (...args) => {
    const { code, stdout, stderr } = await run(...args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(`there is no database in ${dataDir}: check DATA_DIR`)
    expect(await readdir(parent)).toEqual([])
  })

  test('no command starts a server in DATA_DIR if the lock file of a server that cannot be reached is there', async () => {
    expect((await run('migrate')).code).toBe(0)
    const lockFile = join(dataDir, 'postgres', 'postmaster.pid')
    // The format of PostgreSQL: process id, data directory, start time, port, socket directory, host.
    const lockText = `${process.pid}\n${dataDir}/postgres\n1795428000\n1\n\n127.0.0.1\n`
    await writeFile(lockFile, lockText)
    const log = await readFile(join(dataDir, 'postgres.log'), 'utf8')
    for (const args of commands) {
      const { code, stdout, stderr } = await run(...args)
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
      expect(stderr).toMatch(/not reachable from here: run this command where the service runs/)
    }
    expect(await readFile(lockFile, 'utf8')).toBe(lockText)
    expect(await readFile(join(dataDir, 'postgres.log'), 'utf8')).toBe(log)
    await rm(lockFile)
    expect((await run('status')).code).toBe(0)
  }, 60_000)
})

describe('next to a running service in the same DATA_DIR', () => {
  let parent: string
  let auth0: TestTenant
  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), 'last-logout-operator-'))
    await chmod(parent, 0o711)
    auth0 = await openTenant()
    const { clientId, clientSecret } = auth0.simulator.credentials
    env = {
      AUTH0_DOMAIN: DOMAIN,
      AUTH0_BASE_URL: auth0.simulator.url,
      AUTH0_CLIENT_ID: clientId,
      AUTH0_CLIENT_SECRET: clientSecret,
      DATA_DIR: join(parent, 'data'),
      POLL_INTERVAL: '200ms',
    }
  })
  afterEach(async () => {
    await auth0.close()
    await rm(parent, { recursive: true, force: true })
  })

  test('the commands use the database of the running service, and the service continues to run', async () => {
    const service = startCommandLine(['worker'], env)
    await expect.poll(service.stdout, { timeout: 30_000 }).toContain('"polling"')
    expect((await run('floor', 'raise', 'now')).code).toBe(0)
    expect((await run('logout', 'auth0|1')).code).toBe(0)
    const { stdout } = await run('status', '--json')
    expect(JSON.parse(stdout)).toMatchObject({ users: 1, floor_at: expect.any(String) })
    service.stop()
    expect(await service.ended).toBe(0)
    expect(service.stderr()).toBe('')
    expect(JSON.parse((await run('status', '--json')).stdout)).toMatchObject({ users: 1 })
  }, 60_000)
})
