import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import * as faults from '../../src/simulator/faults.js'
import { finishCommand, runCommand } from '../_support/cli.js'
import { finishCommandLine } from '../_support/command-line.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { KEY } from '../_support/served-api.js'
import { readRows } from '../_support/store.js'
import { DOMAIN, openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'

/** The names of all commands. */
const commands = [
  ...['init', 'uninstall', 'demo', 'start', 'worker', 'api', 'sync', 'status', 'doctor'],
  ...['action', 'explain', 'logout', 'floor', 'migrate'],
]

let database: TestDatabase
let auth0: TestTenant
let env: Record<string, string>
beforeEach(async () => {
  database = await createTestDatabase()
  auth0 = await openTenant()
  env = {
    ...tenantEnv(auth0.simulator),
    DATABASE_URL: database.url,
    API_KEYS: `test:${KEY}`,
    PORT: '0',
    POLL_INTERVAL: '200ms',
  }
})
afterEach(async () => {
  await auth0.close()
  await database.drop()
})

/** Writes a logout of one second ago to the log of the tenant. */
const writeLogout = (userId: string, sessionId = 'S1') =>
  auth0.tenant.write(buildEntry('slo', { userId, sessionId }), { dateMs: Date.now() - 1_000 })

describe('--help', () => {
  test('--help lists every command and the exit codes', async () => {
    const { code, stdout } = await finishCommand(['--help'])
    expect(code).toBe(0)
    for (const name of commands) expect(stdout).toMatch(new RegExp(`^  ${name}`, 'm'))
    expect(stdout).toContain('2 invalid configuration')
  })

  test.each(commands)('%s --help describes the command without any configuration', async (name) => {
    const { code, stdout } = await finishCommandLine([name, '--help'])
    expect(code).toBe(0)
    expect(stdout).toMatch(`Usage: last-logout ${name}`)
  })

  test.each([[['nonsense']], [['sync', '--nonsense']], [[]]])(
    'the program suggests --help after the arguments %j, and exits with 2',
    async (args) => {
      const { code, stderr } = await finishCommandLine(args)
      expect(code).toBe(2)
      expect(stderr).toContain('--help')
    },
  )
})

describe('an invalid configuration', () => {
  test.each(['start', 'worker', 'api', 'sync', 'status', 'doctor', 'migrate'])(
    '%s exits with 2 and one message, without a stack or a secret, if the configuration is invalid',
    async (name) => {
      const secret = 'the-client-secret'
      const invalid = { AUTH0_CLIENT_SECRET: secret, API_KEYS: 'a:short-key', PORT: 'x' }
      const { code, stdout, stderr } = await finishCommandLine([name], invalid)
      expect(code).toBe(2)
      expect(stdout).toBe('')
      for (const problem of ['AUTH0_DOMAIN', 'PORT', 'API_KEYS', 'DATABASE_URL']) {
        expect(stderr).toContain(`  - ${problem} `)
      }
      // Four spaces and `at` begin a line of a stack.
      expect(stderr).not.toMatch(/ {4}at |the-client-secret|short-key/)
    },
  )

  test('sync exits with 2 if the database holds the data of another tenant', async () => {
    await finishCommandLine(['sync'], env)
    const { code, stderr } = await finishCommandLine(['sync'], {
      ...env,
      AUTH0_DOMAIN: 'other.example',
    })
    expect(code).toBe(2)
    expect(stderr).toMatch(/serves the tenant tenant\.example, not other\.example/)
  })
})

describe('sync', () => {
  test('sync reads the log to its end, logs its progress as JSON lines, and exits with 0', async () => {
    writeLogout('auth0|1')
    const { code, stdout, stderr } = await finishCommand(['sync'], env)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines.at(-1)).toMatchObject({
      msg: 'caught up',
      entries: 1,
      logouts: 1,
      pagesPerSecond: expect.any(Number),
    })
    expect((await readRows(database)).users).toMatchObject([{ userId: 'auth0|1' }])
  })

  test('sync exits with 1 and names the variables if Auth0 refuses the credentials', async () => {
    const envWithWrongSecret = { ...env, AUTH0_CLIENT_SECRET: 'a-wrong-secret' }
    const { code, stdout, stderr } = await finishCommandLine(['sync'], envWithWrongSecret)
    expect(code).toBe(1)
    expect(stderr).toMatch(/refused the client credentials.*AUTH0_CLIENT_SECRET/)
    expect(stdout + stderr).not.toMatch(/a-wrong-secret| {4}at /)
  })

  test('sync exits with 1 and names the required scopes if they are missing', async () => {
    const tenantWithoutScopes = await openTenant({}, { scopes: [] })
    const { code, stderr } = await finishCommandLine(['sync'], {
      ...env,
      AUTH0_BASE_URL: tenantWithoutScopes.simulator.url,
    })
    expect(code).toBe(1)
    expect(stderr).toMatch(/read:logs and read:logs_users/)
    await tenantWithoutScopes.close()
  })

  test('sync exits with 1 and names the variable if the database is unreachable', async () => {
    const { code, stderr } = await finishCommandLine(['sync'], {
      ...env,
      DATABASE_URL: 'postgresql://user:a-password@127.0.0.1:1/x',
    })
    expect(code).toBe(1)
    expect(stderr).toMatch(/DATABASE_URL/)
    expect(stderr).not.toMatch(/a-password| {4}at /)
  })

  test('sync exits with 1 and suggests migrate if the database has no tables', async () => {
    const empty = await createTestDatabase('template0')
    const withoutTables = await finishCommandLine(['sync'], { ...env, DATABASE_URL: empty.url })
    expect(withoutTables.code).toBe(1)
    expect(withoutTables.stderr).toContain('last-logout migrate')
    const migrated = await finishCommandLine(['migrate'], { ...env, DATABASE_URL: empty.url })
    expect(migrated).toMatchObject({ code: 0, stdout: expect.stringContaining('up to date') })
    expect((await finishCommandLine(['sync'], { ...env, DATABASE_URL: empty.url })).code).toBe(0)
    await empty.drop()
  })
})

describe('status', () => {
  test('status prints counts, checkpoint and freshness', async () => {
    writeLogout('auth0|1')
    // A logout without a user and a session is unattributable.
    auth0.tenant.write(buildEntry('slo', {}, { user_id: null, details: {} }))
    await finishCommandLine(['sync'], env)
    const { code, stdout } = await finishCommandLine(['status', '--json'], env)
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toEqual({
      tenant: DOMAIN,
      checkpoint: expect.stringMatching(/^900\d{53}$/),
      as_of: expect.any(String),
      lag_ms: expect.any(Number),
      last_poll_at: expect.any(String),
      reconciled_at: expect.any(String),
      sweep_remaining: null,
      floor_at: null,
      users: 1,
      sessions: 1,
      reconciled: 0,
      gaps: 0,
      gap_list: [],
      unattributable: { no_subject: 1 },
    })
    const text = await finishCommandLine(['status'], env)
    expect(text.stdout).toMatch(/^users +1$/m)
    expect(text.stdout).toMatch(/^unattributable +1 no_subject$/m)
  })

  test('status lists the gaps: the times whose entries Auth0 deleted before they were read', async () => {
    auth0.tenant.write(buildEntry('s', { userId: 'auth0|1' }), {
      dateMs: Date.now() - 2 * 86_400_000,
    })
    // Before the oldest entry, entries may have been deleted: this gap has the reason `cold_start`.
    const synced = await finishCommandLine(['sync'], env)
    expect(synced.stdout).toMatch(
      /"level":30.*"reason":"cold_start".*Nothing has to be done.*floor raise.*"gap detected"/,
    )
    const { stdout } = await finishCommandLine(['status', '--json'], env)
    expect(JSON.parse(stdout)).toMatchObject({
      gaps: 1,
      gap_list: [{ reason: 'cold_start', detected_at: expect.any(String) }],
    })
    const text = await finishCommandLine(['status'], env)
    expect(text.stdout).toMatch(
      /^gaps +1\n {2}not read +\S+ to \S+, deleted before the first start\n {4}state +open: /m,
    )
  })

  test('status reports that the log has never been read', async () => {
    const { stdout } = await finishCommandLine(['status'], env)
    expect(stdout).toMatch(/^fresh as of +never/m)
  })
})

describe('start', () => {
  test('start polls and serves until SIGTERM, then exits with 0', async () => {
    writeLogout('auth0|1')
    const command = runCommand(['start'], env)
    const url = await expect
      .poll(() => /"url":"([^"]+)"/.exec(command.stdout())?.[1], { timeout: 20_000 })
      .toBeTruthy()
      .then(() => /"url":"([^"]+)"/.exec(command.stdout())?.[1])
    const readLastLogout = async (userId: string) => {
      const path = `/v1/users/${encodeURIComponent(userId)}/last-logout`
      const response = await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${KEY}` } })
      return ((await response.json()) as { last_logout_at: string | null }).last_logout_at
    }
    await expect.poll(() => readLastLogout('auth0|1'), { timeout: 10_000 }).toBeTruthy()
    writeLogout('auth0|2')
    await expect.poll(() => readLastLogout('auth0|2'), { timeout: 10_000 }).toBeTruthy()
    command.kill('SIGTERM')
    expect(await command.exited).toBe(0)
    expect(command.stderr()).toBe('')
    expect(command.output()).not.toContain(KEY)
    expect(command.output()).not.toContain('auth0|')
  })
})

describe('with DATA_DIR', () => {
  let dataDir: string
  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'last-logout-cli-'))
    const { DATABASE_URL: _, ...envWithoutUrl } = env
    env = { ...envWithoutUrl, DATA_DIR: dataDir }
  })
  afterEach(() => rm(dataDir, { recursive: true, force: true }))

  test('sync runs an embedded PostgreSQL in DATA_DIR, creates the tables, and keeps the data', async () => {
    writeLogout('auth0|1')
    expect((await finishCommandLine(['sync'], env)).code).toBe(0)
    const { stdout } = await finishCommandLine(['status', '--json'], env)
    expect(JSON.parse(stdout)).toMatchObject({ users: 1 })
  })
})

describe('an operator error', () => {
  test('api reports that the port of PORT is in use, without a stack', async () => {
    const port = new URL(auth0.simulator.url).port
    const { code, stderr } = await finishCommandLine(['api'], { ...env, PORT: port })
    expect(code).toBe(1)
    expect(stderr).toMatch(new RegExp(`cannot listen on port ${port} of 127.0.0.1 .*set PORT`))
    expect(stderr).not.toMatch(/ {4}at /)
  })

  test('demo exits with 2 if LOG_LEVEL is invalid', async () => {
    const { code, stderr } = await finishCommandLine(['demo'], { LOG_LEVEL: 'loud' })
    expect(code).toBe(2)
    expect(stderr).toMatch(/LOG_LEVEL must be/)
  })
})

test('sync exits with 0 after SIGTERM, and reports that it was stopped', async () => {
  for (let n = 0; n < 500; n++) writeLogout(`auth0|${n}`, `S${n}`)
  auth0.simulator.faults.push({ path: '/api/v2/logs', times: 99, respond: faults.delay(60_000) })
  const command = runCommand(['sync'], env)
  await expect
    .poll(() => auth0.simulator.requests.count({ path: '/api/v2/logs' }), { timeout: 10_000 })
    .toBe(1)
  command.kill('SIGTERM')
  expect(await command.exited).toBe(0)
  expect(command.stderr()).toMatch(/Stopped by a signal/)
})

test('sync reads .env in the current directory, but variables of the environment take precedence', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'last-logout-env-'))
  const envLines = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  await writeFile(join(directory, '.env'), envLines.join('\n'))
  const withFileOnly = await finishCommand(['sync'], {}, { cwd: directory })
  expect(withFileOnly.code).toBe(0)
  const withOtherDomain = await finishCommand(
    ['sync'],
    { AUTH0_DOMAIN: 'other.example' },
    { cwd: directory },
  )
  // The database holds the data of the domain in .env.
  expect(withOtherDomain.code).toBe(2)
  await rm(directory, { recursive: true })
})
