import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import * as faults from '../../src/simulator/faults.js'
import { generateHistory } from '../../src/simulator/history.js'
import { finishCommandLine } from '../_support/command-line.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { readExample } from '../_support/documents.js'
import { DOMAIN, openTenant, type TestTenant } from '../_support/tenant.js'

/** Every secret of this file, and every value that identifies a person, contains this text. */
const MARK = 'identifiable'
const IP = '203.0.113.77'
const HOUR_MS = 3_600_000

let database: TestDatabase
let auth0: TestTenant
let env: Record<string, string>
beforeEach(async () => {
  const clientSecret = `secret-${MARK}`
  database = await createTestDatabase()
  auth0 = await openTenant(
    { retentionMs: 24 * HOUR_MS },
    { credentials: { clientId: `client-${MARK}`, clientSecret } },
  )
  env = {
    AUTH0_DOMAIN: DOMAIN,
    AUTH0_BASE_URL: auth0.simulator.url,
    AUTH0_CLIENT_ID: `client-${MARK}`,
    AUTH0_CLIENT_SECRET: clientSecret,
    DATABASE_URL: database.url,
    API_KEYS: `${MARK}:key-of-more-than-32-characters-${MARK}`,
    LOG_STREAM_TOKEN: `token-of-more-than-32-characters-${MARK}`,
  }
  const [startMs, endMs] = [Date.now() - 23 * HOUR_MS, Date.now()]
  auth0.tenant.writeStored(
    generateHistory({ entries: 500, users: 9, domain: DOMAIN, startMs, endMs }),
  )
  for (const [type, sessionId] of Object.entries({ s: 'S1', slo: 'S1', f: 'S2' })) {
    const userId = `auth0|${MARK}`
    const person = { userName: `${MARK}@example.com`, ip: IP, userAgent: `Browser of ${MARK}` }
    auth0.tenant.write(buildEntry(type, { userId, sessionId: `${sessionId}-${MARK}`, ...person }))
  }
})
afterEach(async () => {
  await auth0.close()
  await database.drop()
})

interface Report {
  checks: { name: string; status: string; message: string }[]
}

/** Runs `doctor --probe --json`, and returns its output. */
async function runDoctor(): Promise<string> {
  const { stdout } = await finishCommandLine(['doctor', '--probe', '--json'], env)
  return stdout
}

/** Returns the checks of undocumented behaviour of Auth0, with N in place of each number. */
const listProbes = (json: string) =>
  (JSON.parse(json) as Report).checks
    .filter(({ name }) => name.startsWith('probe'))
    .map(({ name, status, message }) => [name, status, message.replace(/\d+/g, 'N')])

/** Expects that the output of `doctor` contains no secret, no personal data and no log id. */
function expectNothingPersonal(output: string): void {
  expect(output).not.toContain(MARK)
  expect(output).not.toContain(IP)
  // User ids, email addresses, log ids and the beginning of a JWT.
  expect(output).not.toMatch(/auth0\||google-oauth2|@|90\d{30}|eyJ/)
  const { password } = new URL(database.url)
  if (password !== '') expect(output).not.toContain(password)
}

test('the output of doctor contains no secret and no personal data', async () => {
  expect((await finishCommandLine(['sync'], env)).code).toBe(0)
  const output = await runDoctor()
  expect(listProbes(output)).toHaveLength(6)
  expectNothingPersonal(output)
})

test.each<[string, () => void]>([
  ['the secret is wrong', () => Object.assign(env, { AUTH0_CLIENT_SECRET: `wrong-${MARK}` })],
  [
    'an error of Auth0 quotes the request',
    () =>
      auth0.simulator.faults.push({
        path: '/api/v2/logs',
        respond: faults.respondWith(403, { message: `no scope for ${MARK}`, errorCode: 'denied' }),
      }),
  ],
  [
    'the password of the database is wrong',
    () => {
      env.DATABASE_URL = `postgres://${MARK}:${MARK}@127.0.0.1:1/${MARK}`
    },
  ],
  [
    'the password of Redis is wrong',
    () => {
      env.REDIS_URL = `redis://${MARK}:${MARK}@127.0.0.1:1`
    },
  ],
  [
    'DATA_DIR contains no database',
    () => {
      env.DATABASE_URL = ''
      env.DATA_DIR = `/home/${MARK}/data`
    },
  ],
])('the output of doctor contains no secret and no personal data if %s', async (_case, prepare) => {
  prepare()
  const output = await runDoctor()
  expect((JSON.parse(output) as Report).checks.length).toBeGreaterThan(10)
  expectNothingPersonal(output)
})

test.each<[string, (directory: string) => Promise<string>]>([
  ['relative', async (directory) => join(directory, 'data')],
  [
    'a symbolic link',
    async (directory) => {
      await mkdir(join(directory, 'data'), { recursive: true })
      await symlink(join(directory, 'data'), join(directory, 'link'))
      return join(directory, 'link')
    },
  ],
])(
  'the output of doctor contains no absolute path if DATA_DIR is %s and cannot be used',
  async (_case, prepare) => {
    const parent = await mkdtemp(join(tmpdir(), `${MARK}-`))
    onTestFinished(() => rm(parent, { recursive: true }))
    const dataDir = await prepare(parent)
    // This cluster looks like one of another version of PostgreSQL.
    await mkdir(join(dataDir, 'postgres'), { recursive: true })
    await writeFile(join(dataDir, 'postgres', 'PG_VERSION'), '1\n')
    env.DATABASE_URL = ''
    env.DATA_DIR = relative(tmpdir(), dataDir)
    const output = await runDoctor()
    // As root, the directory is not accessible to the user that runs PostgreSQL.
    expect(output).toMatch(
      /The data directory DATA_DIR (holds data of PostgreSQL 1,|cannot be reached by)/,
    )
    expectNothingPersonal(output)
  },
)

test('the output of doctor keeps the words of its messages if DATA_DIR is one of them', async () => {
  const cwd = await mkdtemp(join(tmpdir(), 'doctor-'))
  onTestFinished(() => rm(cwd, { recursive: true }))
  env.DATABASE_URL = ''
  env.DATA_DIR = 'data'
  const context = { cwd }
  const { stdout } = await finishCommandLine(['doctor', '--json'], env, { context })
  expect(stdout).toContain('there is no database in DATA_DIR yet')
  expect(stdout).not.toMatch(/DATA_DIRbase/)
})

test('the example in docs/first-real-tenant.md contains the checks that doctor --probe prints', async () => {
  expect((await finishCommandLine(['sync'], env)).code).toBe(0)
  const example = await readExample('docs/first-real-tenant.md', '1. The probe', 'json')
  expectNothingPersonal(example)
  expect(listProbes(example)).toEqual(listProbes(await runDoctor()))
})

test('the command in docs/first-real-tenant.md removes the domain from the output of doctor', async () => {
  const cwd = await mkdtemp(join(tmpdir(), 'probe-'))
  onTestFinished(() => rm(cwd, { recursive: true }))
  const output = await runDoctor()
  const realDomain = 'acme.eu.auth0.com'
  const outputWithDomain = output.replaceAll(DOMAIN, realDomain)
  expect(outputWithDomain).not.toBe(output)
  await writeFile(join(cwd, 'probe.json'), outputWithDomain)
  const example = await readExample('docs/first-real-tenant.md', 'Send it back', 'sh')
  const command = example.replace('<your domain>', realDomain)
  const { stdout } = await promisify(execFile)('/bin/sh', ['-ec', command], { cwd })
  // The command replaces the domain by `tenant.example`, which is the domain of the simulated tenant.
  expect(stdout).toBe(output)
})
