import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { MAX_JWT_LENGTH } from '../../src/commands/read-jwt.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { finishCommand, runCommand } from '../_support/cli.js'
import { finishCommandLine } from '../_support/command-line.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'
import { WAIT } from '../_support/wait.js'

/** A token: its header, its payload and its signature. */
const TOKEN = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhdXRoMHwxIn0.c2lnbmF0dXJl'

/** Variables for a command that needs the URL of a database, but does not connect. */
const UNUSED_DATABASE_ENV = {
  AUTH0_DOMAIN: 'tenant.example',
  DATABASE_URL: 'postgresql://127.0.0.1:1/none',
}

test('--version prints the version of the package', async () => {
  const { version } = JSON.parse(await readFile('package.json', 'utf8'))
  const { code, stdout } = await finishCommand(['--version'])
  expect({ code, stdout }).toEqual({ code: 0, stdout: `${version}\n` })
})

test('a command ends even if something keeps the process alive, such as a socket', async () => {
  const keepAlive = 'data:text/javascript,setInterval(()=>{},60000)'
  const { code, stdout } = await finishCommand(['--help'], {
    NODE_OPTIONS: `--import=${keepAlive}`,
  })
  expect(code).toBe(0)
  expect(stdout).toMatch(/healthcheck/)
})

test.each([
  ['a command', [TOKEN]],
  ['an Authorization header', [`Bearer ${TOKEN}`]],
  ['an option', ['explain', `--${TOKEN}`]],
  ['a subcommand', ['floor', TOKEN]],
])(
  'the error for unknown arguments does not contain a token that is passed as %s',
  async (_form, args) => {
    const { code, stdout, stderr } = await finishCommandLine(args)
    expect(code).toBe(2)
    // The error shows the first characters of the token, but no complete part.
    expect(stderr).toMatch(/^error: unknown .*eyJ\w*…'/)
    expect(stdout + stderr).not.toMatch(/eyJhbGciOiJSUzI1NiJ9|eyJzdWIi|c2lnbmF0dXJl/)
  },
)

test('the error for a missing variable explains where to set the variable', async () => {
  const { code, stderr } = await finishCommandLine(['action', 'status'])
  expect(code).toBe(2)
  expect(stderr).toMatch(
    /AUTH0_DOMAIN is missing[\s\S]*environment, or in a file \.env .*docs\/configuration\.md\)\.\n$/,
  )
})

test('a command whose .env cannot be read exits with 2 and names the cause, but --help works', async () => {
  const cwd = await mkdtemp(join(tmpdir(), 'last-logout-process-'))
  onTestFinished(() => rm(cwd, { recursive: true }))
  await mkdir(join(cwd, '.env'))
  const { code, stderr } = await finishCommand(['status'], UNUSED_DATABASE_ENV, { cwd })
  expect(code).toBe(2)
  expect(stderr).toMatch(/^last-logout: \/.*\/\.env cannot be read \(EISDIR\): [^\n]*\n$/)
  expect((await finishCommand(['status', '--help'], {}, { cwd })).code).toBe(0)
})

test('explain refuses standard input that is longer than any token', async () => {
  const { code, stderr } = await finishCommand(['explain', '-'], UNUSED_DATABASE_ENV, {
    input: 'a'.repeat(MAX_JWT_LENGTH + 1),
  })
  expect(code).toBe(2)
  expect(stderr).toMatch(/longer than/)
})

describe('a closed standard output', () => {
  let database: TestDatabase
  let auth0: TestTenant
  let env: Record<string, string>
  beforeEach(async () => {
    database = await createTestDatabase()
    auth0 = await openTenant()
    env = {
      ...tenantEnv(auth0.simulator),
      DATABASE_URL: database.url,
      POLL_INTERVAL: '200ms',
    }
  })
  afterEach(async () => {
    await auth0.close()
    await database.drop()
  })

  // `status` prints everything at its end. `doctor` prints each check, so the closed output stops it before the last one.
  test.each([
    ['status', 0],
    ['doctor', 1],
  ])(
    '%s prints no error and exits with %d if standard output is closed',
    async (name, expectedCode) => {
      const command = runCommand([name], env)
      command.closeOutput()
      const code = await command.exited
      expect({ code, stderr: command.stderr() }).toEqual({ code: expectedCode, stderr: '' })
    },
  )

  test('sync exits with 1 if standard output is closed before it has caught up', async () => {
    // A write to the closed output aborts the signal.
    const context = { stop: AbortSignal.abort(), isOutputClosed: () => true }
    const { code, stderr } = await finishCommandLine(['sync'], env, { context })
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' })
  })

  test('a command whose output cannot be written exits with 1 and one line', async () => {
    const script = 'exec "$0" "$1" --help > /dev/full'
    const args = ['-c', script, process.execPath, 'dist/main.js']
    const failure = await promisify(execFile)('/bin/sh', args).catch((error) => error)
    expect(failure.code).toBe(1)
    expect(failure.stderr).toMatch(/^last-logout: The output cannot be written \(ENOSPC\)[^\n]*\n$/)
  })

  test('a worker whose standard output is closed shuts down gracefully, and exits with 1', async () => {
    const command = runCommand(['worker'], env)
    await expect.poll(command.stdout, WAIT).toContain('"polling"')
    command.closeOutput()
    // The worker logs this logout, and the write to standard output fails with EPIPE.
    auth0.tenant.write(buildEntry('slo', { userId: 'auth0|1' }), { dateMs: Date.now() - 1_000 })
    const code = await command.exited
    expect({ code, stderr: command.stderr() }).toEqual({ code: 1, stderr: '' })
    // The worker has released its lease, which is the exclusive right to poll.
    expect(await database.query('SELECT lease_owner FROM tenant')).toEqual([{ lease_owner: null }])
  })
})
