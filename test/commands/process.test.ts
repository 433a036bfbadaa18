import { readFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import { finishCommand, runCommand } from '../_support/cli.js'
import { finishCommandLine } from '../_support/command-line.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'

const TOKEN = `eyJhbGciOiJSUzI1NiJ9.${'eyJzdWIiOiJhdXRoMHwxIn0'.repeat(3)}.c2lnbmF0dXJl`

/** A configuration whose database is never used. */
const DATABASE = { AUTH0_DOMAIN: 'tenant.example', DATABASE_URL: 'postgresql://127.0.0.1:1/none' }

test('--version prints the version of the package', async () => {
  const { version } = JSON.parse(await readFile('package.json', 'utf8'))
  const { code, stdout } = await finishCommand(['--version'])
  expect({ code, stdout }).toEqual({ code: 0, stdout: `${version}\n` })
})

test.each([
  ['a command', [TOKEN]],
  ['a header', [`Bearer ${TOKEN}`]],
  ['an option', ['explain', `--${TOKEN}`]],
  ['a subcommand', ['floor', TOKEN]],
])('the program does not print a token that is passed as %s', async (_case, args) => {
  const { code, stdout, stderr } = await finishCommandLine(args)
  expect(code).toBe(2)
  expect(stderr).toMatch(/^error: unknown .*eyJ[\w]*…'/)
  expect(stdout + stderr).not.toMatch(/eyJhbGciOiJSUzI1NiJ9|eyJzdWIi|c2lnbmF0dXJl/)
})

test('the error for a missing variable explains where to set the variable', async () => {
  const { code, stderr } = await finishCommandLine(['action', 'status'])
  expect(code).toBe(2)
  expect(stderr).toMatch(
    /AUTH0_DOMAIN is missing[\s\S]*environment, or in a file \.env .*\.env\.example\)\.\n$/,
  )
})

test('explain stops reading standard input that is longer than any token', async () => {
  const { code, stderr } = await finishCommand(['explain', '-'], DATABASE, {
    input: 'a'.repeat(70_000),
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

  test.each([
    ['status', 0],
    ['doctor', 1],
  ])(
    '%s prints no error and exits with %d if standard output is closed',
    async (name, expected) => {
      const command = runCommand([name], env)
      command.closeOutput()
      const code = await command.exited
      expect({ code, stderr: command.stderr() }).toEqual({ code: expected, stderr: '' })
    },
  )

  test('a worker whose standard output is closed shuts down gracefully', async () => {
    const command = runCommand(['worker'], env)
    await expect.poll(command.stdout, { timeout: 20_000 }).toContain('"polling"')
    command.closeOutput()
    // The worker logs this logout, and the write to standard output fails with EPIPE.
    auth0.tenant.write(buildEntry('slo', { userId: 'auth0|1' }), { dateMs: Date.now() - 1_000 })
    const code = await command.exited
    expect({ code, stderr: command.stderr() }).toEqual({ code: 0, stderr: '' })
    const [lease] = await database.query('SELECT lease_owner FROM tenant')
    expect(lease).toEqual({ lease_owner: null })
  })
})
