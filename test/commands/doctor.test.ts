import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import * as faults from '../../src/simulator/faults.js'
import { generateHistory } from '../../src/simulator/history.js'
import { runCommand } from '../_support/cli.js'
import { finishCommandLine, startCommandLine } from '../_support/command-line.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openProxy, READY_FOR_QUERY } from '../_support/proxy.js'
import { startRedis } from '../_support/redis.js'
import { KEY } from '../_support/served-api.js'
import { DOMAIN, openTenant, type TestTenant } from '../_support/tenant.js'

/** 50 minutes: less than the hour of entries that `writeHistory` writes. */
const SHORT_RETENTION_MS = 3_000_000
const SECRET = 'a-secret-of-the-worker'

let database: TestDatabase
let auth0: TestTenant
let env: Record<string, string>

/** Replaces the tenant by a new tenant with these options. */
async function replaceTenant(...options: Parameters<typeof openTenant>) {
  await auth0?.close()
  const credentials = { clientId: 'C', clientSecret: SECRET }
  auth0 = await openTenant(options[0], { credentials, ...options[1] })
  env.AUTH0_BASE_URL = auth0.simulator.url
}
beforeEach(async () => {
  database = await createTestDatabase()
  env = {
    AUTH0_DOMAIN: DOMAIN,
    AUTH0_CLIENT_ID: 'C',
    AUTH0_CLIENT_SECRET: SECRET,
    DATABASE_URL: database.url,
    REDIS_URL: '',
    API_KEYS: `test:${KEY}`,
  }
  await replaceTenant()
})
afterEach(async () => {
  await auth0.close()
  await database.drop()
})

interface Check {
  name: string
  status: string
  message: string
  advice?: string
}

/** Runs `doctor`. Returns the exit code, the error output, and the checks by name. */
async function runDoctor(...options: string[]) {
  const { code, stdout, stderr } = await finishCommandLine(['doctor', '--json', ...options], env)
  // Neither a secret nor a line of a stack trace is printed.
  expect(stdout + stderr).not.toMatch(new RegExp(`${SECRET}|${KEY}| {4}at `))
  const { checks } = JSON.parse(stdout) as { checks: Check[] }
  return { code, stderr, checks: new Map(checks.map((check) => [check.name, check])) }
}

const statusesByName = (checks: Map<string, Check>) =>
  Object.fromEntries([...checks.values()].map(({ name, status }) => [name, status]))

/** Writes one hour of log entries. */
function writeHistory() {
  const [startMs, endMs] = [Date.now() - 3_600_000, Date.now()]
  auth0.tenant.writeStored(
    generateHistory({ entries: 500, users: 9, domain: DOMAIN, startMs, endMs }),
  )
}

/** Writes one hour of log entries, and reads the log to its end. */
async function catchUp() {
  writeHistory()
  expect((await finishCommandLine(['sync'], env)).code).toBe(0)
  auth0.simulator.requests.clear()
}

/** All scopes that last-logout can use. `create:actions` and `update:actions` are needed only for a deployment. */
const ALL_SCOPES = [
  'read:logs',
  'read:logs_users',
  'read:actions',
  'create:actions',
  'update:actions',
]

describe('doctor', () => {
  test('doctor fails no check, sends at most eight requests, and changes nothing', async () => {
    await replaceTenant({}, { scopes: ALL_SCOPES })
    await catchUp()
    const deployed = await finishCommandLine(
      ['action', 'deploy', '--url', 'https://last-logout.example'],
      { ...env, API_KEYS: `action:${KEY}:read` },
    )
    expect(deployed.code).toBe(0)
    auth0.simulator.requests.clear()
    // Every write changes `xmin`, the transaction that wrote the row.
    const rowsBefore = await database.query('SELECT xmin::text, tenant::text FROM tenant')
    const { code, checks, stderr } = await runDoctor()
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(statusesByName(checks)).toEqual({
      configuration: 'ok',
      database: 'ok',
      migrations: 'ok',
      notifications: 'ok',
      privileges: 'ok',
      queue: 'ok',
      worker: 'ok',
      freshness: 'ok',
      gaps: 'ok',
      token: 'ok',
      scopes: 'warning',
      log: 'ok',
      clock: 'ok',
      'database clock': 'ok',
      'rate limit': 'ok',
      'poll budget': 'ok',
      retention: 'ok',
      'storage delay': 'ok',
      logouts: 'warning',
      'login Action': 'ok',
    })
    expect(checks.get('scopes')?.message).toContain('create:actions, update:actions')
    expect(auth0.simulator.requests.count({})).toBeLessThanOrEqual(8)
    expect(auth0.simulator.requests.count({ path: '/oauth/token' })).toBe(1)
    expect(await database.query('SELECT xmin::text, tenant::text FROM tenant')).toEqual(rowsBefore)
  })

  test('doctor prints one line for each check, and the advice below it', async () => {
    const { code, stdout, stderr } = await finishCommandLine(['doctor'], env)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^ok {7}database {8}PostgreSQL \d+/m)
    expect(stdout).toMatch(
      /^warning {2}worker {10}no worker has polled yet\n {25}-> run `last-logout/m,
    )
    expect(stdout).toMatch(/^skipped {2}freshness, gaps: no worker has polled yet$/m)
    expect(stdout).toMatch(/^skipped {2}login Action {4}not checked.*read:actions/m)
  })

  test('doctor --probe checks undocumented behaviour of Auth0', async () => {
    await replaceTenant({ retentionMs: SHORT_RETENTION_MS }, { expiredCheckpoint: 404 })
    await catchUp()
    const { code, checks } = await runDoctor('--probe')
    expect(code).toBe(0)
    const probes = [...checks.values()].filter(({ name }) => name.startsWith('probe'))
    expect(probes.map(({ name, status, message }) => [name, status, message])).toEqual([
      ['probe: page', 'ok', '10 entries in ascending order, no duplicates, with a Link'],
      ['probe: position', 'ok', 'a synthetic id is accepted as a position in the log'],
      ['probe: expired', 'ok', 'an id older than every retained entry is refused (404)'],
      ['probe: bad id', 'ok', 'a malformed id is refused (400)'],
      ['probe: take', 'ok', 'take without from is refused (400)'],
      ['probe: sweep', 'ok', 'a search by log id finds the expected entry'],
    ])
    expect(auth0.simulator.requests.count({})).toBeLessThanOrEqual(14)
  })

  test('doctor stops after a signal while it waits for Auth0', async () => {
    auth0.simulator.faults.push({ path: '/api/v2/logs', respond: faults.delay(60_000) })
    const command = startCommandLine(['doctor'], env)
    await expect
      .poll(() => auth0.simulator.requests.count({ path: '/api/v2/logs' }), { timeout: 20_000 })
      .toBe(1)
    command.stop()
    expect(await command.ended).toBe(1)
    expect(command.stderr()).toMatch(/interrupted before it had finished: run it again/)
  })

  test('doctor stops after a signal while it waits for the database', async () => {
    // The proxy forwards nothing more after the server has accepted the connection.
    const unresponsive = await openProxy(database.url, READY_FOR_QUERY)
    onTestFinished(() => unresponsive.close())
    const command = runCommand(['doctor'], { ...env, DATABASE_DIRECT_URL: unresponsive.url })
    await expect.poll(command.stdout, { timeout: 20_000 }).toContain('configuration')
    const killedAt = performance.now()
    command.kill('SIGTERM')
    expect(await command.exited).toBe(1)
    expect(performance.now() - killedAt).toBeLessThan(4_000)
  })
})

describe('a failed check', () => {
  /** Expects that `doctor` reports the failure of this check. Returns the status of every check. */
  async function expectFailure(name: string, message: RegExp, advice?: RegExp) {
    const { code, stderr, checks } = await runDoctor()
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /^last-logout: \d+ checks? failed: follow the advice after each failure\.\n$/,
    )
    expect(checks.get(name)).toMatchObject({
      status: 'failure',
      message: expect.stringMatching(message),
      ...(advice && { advice: expect.stringMatching(advice) }),
    })
    return statusesByName(checks)
  }

  test('doctor fails with advice if PostgreSQL is unreachable, but still runs the other checks', async () => {
    writeHistory()
    env.DATABASE_URL = 'postgresql://user:a-password@127.0.0.1:1/x'
    const allStatuses = await expectFailure(
      'database',
      /does not respond \(ECONNREFUSED\)/,
      /DATABASE_URL/,
    )
    expect(allStatuses).toMatchObject({
      migrations: 'skipped',
      queue: 'skipped',
      worker: 'skipped',
      token: 'ok',
      privileges: 'skipped',
      retention: 'ok',
    })
    const { stdout } = await finishCommandLine(['doctor'], env)
    expect(stdout).not.toMatch(/a-password|floor raise/)
  })

  test('doctor fails with advice if the database does not exist', async () => {
    env.DATABASE_URL = `${database.url}_other`
    await expectFailure('database', /3D000/, /create it/)
  })

  test('doctor fails with advice if the tables are missing, and does not create the tables', async () => {
    const empty = await createTestDatabase('template0')
    env.DATABASE_URL = empty.url
    const allStatuses = await expectFailure('migrations', /not migrated.*last-logout migrate/)
    expect(allStatuses).toMatchObject({ queue: 'failure', worker: 'skipped', token: 'ok' })
    expect(await empty.query("SELECT FROM pg_tables WHERE schemaname !~ '^(pg_|inf)'")).toEqual([])
    await empty.drop()
  })

  test('doctor fails with advice if the database serves another tenant', async () => {
    await catchUp()
    env.AUTH0_DOMAIN = 'other.example'
    await expectFailure('migrations', /serves the tenant tenant\.example/, /AUTH0_DOMAIN/)
  })

  test('doctor fails with advice if no worker polls, and if Auth0 deletes entries before they are read (pitfall 6)', async () => {
    await replaceTenant({ retentionMs: SHORT_RETENTION_MS })
    await catchUp()
    // The log was read up to `as_of`.
    await database.query("UPDATE tenant SET as_of = now() - interval '2 h'")
    await database.query('UPDATE tenant SET last_poll_at = as_of')
    const allStatuses = await expectFailure('worker', /no worker polls/, /last-logout start/)
    expect(allStatuses).toMatchObject({ freshness: 'failure' })
    // The argument of the command is an instant, which begins with the digits of the year.
    await expectFailure('retention', /may be lost/, /last-logout floor raise 20\d\d-/)
  })

  test('doctor fails with advice if Redis is unreachable', async () => {
    env.REDIS_URL = 'redis://:a-password@127.0.0.1:1'
    await expectFailure('queue', /Redis does not respond \(ECONNREFUSED\)/, /REDIS_URL/)
  })

  test('doctor fails with advice if the credentials are refused', async () => {
    env.AUTH0_CLIENT_ID = 'other'
    const allStatuses = await expectFailure(
      'token',
      /refused the client credentials.*AUTH0_CLIENT_ID/,
    )
    expect(allStatuses).toMatchObject({
      scopes: 'skipped',
      log: 'skipped',
      'login Action': 'skipped',
    })
    const { stdout } = await finishCommandLine(['doctor'], env)
    expect(stdout.match(/.*there is no token$/gm)).toEqual([
      expect.stringMatching(/^skipped {2}scopes, log, .*, login Action: there is no token$/),
    ])
  })

  test('doctor fails with advice if the token response is an HTML page', async () => {
    auth0.simulator.faults.push({ path: '/oauth/token', times: 9, respond: faults.html(200) })
    const allStatuses = await expectFailure('token', /status 200 without a token \(text\/html\)/)
    expect(allStatuses).toMatchObject({ scopes: 'skipped' })
  })

  test('doctor fails with advice if the database user lacks write privileges', async () => {
    await catchUp()
    const readerRole = `reader_${randomBytes(6).toString('hex')}`
    await database.query(`CREATE ROLE ${readerRole} LOGIN PASSWORD 'a-password'`)
    await database.query(`GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${readerRole}`)
    await database.query(`GRANT INSERT ON unattributable, tenant TO ${readerRole}`)
    const url = new URL(database.url)
    Object.assign(url, { username: readerRole, password: 'a-password' })
    env.DATABASE_URL = url.href
    const allStatuses = await expectFailure(
      'privileges',
      /lacks INSERT, UPDATE on "public".gap, USAGE on SEQUENCE "public".gap_id_seq, .*, DELETE on "public".unattributable, /,
      /GRANT UPDATE ON "public".tenant TO "reader_\w+"; GRANT DELETE ON "public".unattributable TO/,
    )
    expect(allStatuses).toMatchObject({ database: 'ok', worker: 'ok' })
    await database.query(`DROP OWNED BY ${readerRole}`)
    await database.query(`DROP ROLE ${readerRole}`)
  })

  test('doctor fails with advice if the tenant is unreachable', async () => {
    env.AUTH0_BASE_URL = 'http://127.0.0.1:1'
    await expectFailure('token', /cannot be reached/)
  })

  test('doctor fails with advice if read:logs is missing (pitfall 12)', async () => {
    await replaceTenant({}, { scopes: ['read:users'] })
    const allStatuses = await expectFailure(
      'scopes',
      /read:logs is missing \(read:users\)/,
      /grant it/,
    )
    expect(allStatuses).toMatchObject({ token: 'ok', log: 'skipped', logouts: 'skipped' })
  })

  test('doctor fails with advice if the log request fails', async () => {
    auth0.simulator.faults.push({ path: '/api/v2/logs', times: 9, respond: faults.html(502) })
    const allStatuses = await expectFailure('log', /with 502/)
    expect(allStatuses).toMatchObject({ clock: 'skipped', 'login Action': 'skipped' })
  })

  test('doctor fails with advice if the clock is wrong', async () => {
    await replaceTenant({ now: () => Date.now() - 3_600_000 })
    const allStatuses = await expectFailure(
      'database clock',
      /60 minutes ahead of the clock of Auth0/,
      /NTP/,
    )
    expect(allStatuses).toMatchObject({ clock: 'warning' })
  })
})

describe('with DATABASE_DIRECT_URL', () => {
  test('doctor fails if DATABASE_DIRECT_URL leads to another database than DATABASE_URL', async () => {
    const other = await createTestDatabase()
    onTestFinished(() => other.drop())
    env.DATABASE_DIRECT_URL = other.url
    const { code, checks } = await runDoctor()
    expect(code).toBe(1)
    expect(checks.get('notifications')).toMatchObject({
      status: 'failure',
      message: expect.stringMatching(/leads to another database than DATABASE_URL/),
    })
    env.DATABASE_DIRECT_URL = database.url
    expect((await runDoctor()).checks.get('notifications')?.status).toBe('ok')
  })
})

describe('an invalid configuration', () => {
  test('doctor exits with 2 if the configuration is invalid', async () => {
    const { code, stdout, stderr } = await finishCommandLine(['doctor'], { AUTH0_DOMAIN: DOMAIN })
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(/AUTH0_CLIENT_SECRET is missing[\s\S]*DATABASE_URL is missing/)
  })
})

const redis = await startRedis({ forceNew: true, args: ['--maxmemory-policy', 'allkeys-lru'] })
const skip = 'skip' in redis
describe.skipIf(skip)(`with a schedule in Redis${skip ? ` (skipped: ${redis.skip})` : ''}`, () => {
  if (skip) return
  afterAll(() => redis.stop())

  test('doctor reports the reply of Redis if the server lacks the database of REDIS_URL', async () => {
    env.REDIS_URL = `${redis.url.replace(/\/\d*$/, '')}/99`
    const { code, checks } = await runDoctor()
    expect(code).toBe(1)
    expect(checks.get('queue')).toMatchObject({
      status: 'failure',
      message: 'Redis cannot be used (ERR DB index is out of range)',
      advice: expect.stringContaining('check the number of the database in REDIS_URL'),
    })
  })

  test('doctor warns if maxmemory-policy allows Redis to evict the schedule (pitfall 16)', async () => {
    env.REDIS_URL = redis.url
    const { code, checks } = await runDoctor()
    expect(code).toBe(0)
    expect(checks.get('queue')).toMatchObject({
      status: 'warning',
      message: expect.stringContaining('allkeys-lru'),
      advice: expect.stringContaining('noeviction'),
    })
    const client = new Redis(redis.url)
    await client.config('SET', 'maxmemory-policy', 'noeviction')
    client.disconnect()
    expect((await runDoctor()).checks.get('queue')?.status).toBe('ok')
  })
})

test.skipIf(skip)(
  'doctor fails with advice if REDIS_URL is the address of a replica, because a replica refuses writes',
  async () => {
    // The replica needs no primary for this test: no server listens on port 1.
    const replica = await startRedis({ forceNew: true, args: ['--replicaof', '127.0.0.1', '1'] })
    if ('skip' in replica) throw new Error(replica.skip)
    onTestFinished(() => replica.stop())
    env.REDIS_URL = replica.url
    const { code, checks } = await runDoctor()
    expect(code).toBe(1)
    expect(checks.get('queue')).toMatchObject({
      status: 'failure',
      message: expect.stringContaining('is a replica'),
      advice: expect.stringContaining('REDIS_URL'),
    })
  },
)

describe('with DATA_DIR', () => {
  let parentDir: string
  beforeEach(async () => {
    parentDir = await mkdtemp(join(tmpdir(), 'last-logout-doctor-'))
    // The user of the PostgreSQL server must reach the data.
    await chmod(parentDir, 0o711)
    const { DATABASE_URL: _, ...envWithoutUrl } = env
    env = { ...envWithoutUrl, DATA_DIR: join(parentDir, 'data'), PORT: '0', POLL_INTERVAL: '200ms' }
  })
  afterEach(() => rm(parentDir, { recursive: true, force: true }))

  test('doctor creates no database in DATA_DIR', async () => {
    const { code, checks } = await runDoctor()
    expect(code).toBe(0)
    expect(checks.get('database')).toMatchObject({
      status: 'warning',
      message: expect.stringContaining('there is no database in'),
    })
    expect(await readdir(parentDir)).toEqual([])
  })

  test('doctor checks the database in DATA_DIR while the service runs, and after the service has stopped', async () => {
    const service = startCommandLine(['start'], env)
    await expect.poll(service.stdout, { timeout: 30_000 }).toContain('"polling"')
    const running = await runDoctor()
    service.stop()
    expect(await service.ended).toBe(0)
    expect(service.stderr()).toBe('')
    const stopped = await runDoctor()
    for (const { code, checks } of [running, stopped]) {
      expect(code).toBe(0)
      const { database, migrations, queue } = statusesByName(checks)
      expect({ database, migrations, queue }).toEqual({
        database: 'ok',
        migrations: 'ok',
        queue: 'ok',
      })
    }
  }, 90_000)

  test('doctor starts no server in DATA_DIR if an unreachable server may already run there', async () => {
    expect((await finishCommandLine(['migrate'], env)).code).toBe(0)
    const lockFile = join(parentDir, 'data', 'postgres', 'postmaster.pid')
    // The lock contains the id of this process, which runs, and port 1, on which no server listens.
    const lock = `${process.pid}\n${parentDir}/data/postgres\n1795428000\n1\n\n127.0.0.1\n`
    await writeFile(lockFile, lock)
    const { code, checks } = await runDoctor()
    expect(code).toBe(1)
    expect(checks.get('database')).toMatchObject({
      status: 'failure',
      message: expect.stringContaining('does not respond from here'),
      advice: expect.stringContaining('where the service runs'),
    })
    expect(checks.get('token')?.status).toBe('ok')
    expect(await readFile(lockFile, 'utf8')).toBe(lock)
  }, 60_000)

  test('migrate can use DATA_DIR while doctor waits for Auth0', async () => {
    expect((await finishCommandLine(['migrate'], env)).code).toBe(0)
    auth0.simulator.faults.push({ path: '/oauth/token', respond: faults.delay(60_000) })
    const doctor = startCommandLine(['doctor'], env)
    await expect
      .poll(() => auth0.simulator.requests.count({ path: '/oauth/token' }), { timeout: 20_000 })
      .toBe(1)
    expect(await finishCommandLine(['migrate'], env)).toMatchObject({ code: 0, stderr: '' })
    doctor.stop()
    expect(await doctor.ended).toBe(1)
  }, 60_000)
})
