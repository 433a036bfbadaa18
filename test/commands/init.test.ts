import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import { listWriteRequests } from '../_support/actions.js'
import { finishCommand } from '../_support/cli.js'
import { finishCommandLine, startCommandLine } from '../_support/command-line.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { readExample } from '../_support/documents.js'
import { DOMAIN, openTenant, type TestTenant } from '../_support/tenant.js'

const SECRET = 'a-secret-of-the-worker'
/** The lines that `init` asks for: the domain, the client id and the client secret. */
const INPUT = `${DOMAIN}\nC\n${SECRET}\n`
const WAIT = { timeout: 20_000 }
const CTRL_C = '\x03'

let auth0: TestTenant
let database: TestDatabase
let cwd: string
let env: Record<string, string>
beforeEach(async () => {
  ;[auth0, database, cwd] = await Promise.all([
    openTenant({}, { credentials: { clientId: 'C', clientSecret: SECRET } }),
    createTestDatabase(),
    mkdtemp(join(tmpdir(), 'init-')),
  ])
  env = {
    AUTH0_BASE_URL: auth0.simulator.url,
    DATABASE_URL: database.url,
    PORT: '0',
    POLL_INTERVAL: '200ms',
  }
})
afterEach(async () => {
  await auth0.close()
  await database.drop()
  await rm(cwd, { recursive: true })
})

const envFilePath = () => join(cwd, '.env')
const logOut = (userId: string) =>
  auth0.tenant.write(buildEntry('slo', { userId, sessionId: 'S1' }))
const run = (input = INPUT, overrides = {}, flags: string[] = []) =>
  finishCommandLine(['init', ...flags], { ...env, ...overrides }, { input, context: { cwd } })

describe('init', () => {
  test('init reads the credentials from standard input, and shows that a token is refused after a logout', async () => {
    logOut('auth0|earlier')
    const command = startCommandLine(['init'], env, { input: INPUT, context: { cwd } })
    await expect.poll(command.stdout, WAIT).toContain('Waiting for a logout')
    logOut('auth0|first')
    expect(await command.ended).toBe(0)
    const printed = command.stdout() + command.stderr()
    expect(printed).toContain('auth0|first logged out at')
    expect(printed).not.toContain('auth0|earlier')
    expect(printed).toContain('a token of this user from before the logout is refused')
    expect(printed).toMatch(/^ +\d+\.\d s doctor$/m)
    expect(printed).toMatch(/^ +\d+\.\d s a logout is stored$/m)

    expect((await stat(envFilePath())).mode & 0o777).toBe(0o600)
    const text = await readFile(envFilePath(), 'utf8')
    expect(text).toMatch(
      /^AUTH0_DOMAIN=.*\nAUTH0_CLIENT_ID=C\nAUTH0_CLIENT_SECRET=.*\nAPI_KEYS=action:\w{48}:read,orders-api:\w{48}:feed\+read,cli:\w{48}:check\+read,operator:\w{48}:read\+metrics\n$/,
    )
    for (const secret of [SECRET, ...(text.match(/\w{48}/g) ?? [])]) {
      expect(printed).not.toContain(secret)
    }
    // A command of the document prints the key of the caller `operator`.
    const printKey = await readExample('docs/console.md', 'The key', 'sh')
    const operatorKey = execFileSync('sh', ['-c', printKey], { cwd, encoding: 'utf8' }).trim()
    expect(text).toContain(`,operator:${operatorKey}:read+metrics\n`)
    expect(listWriteRequests(auth0.simulator)).toEqual([])
  })

  test('init continues with an existing .env, and does not change it', async () => {
    const text = 'AUTH0_CLIENT_ID=from-the-file\n'
    await writeFile(envFilePath(), text)
    const valuesOfEnvFile = {
      AUTH0_DOMAIN: DOMAIN,
      AUTH0_CLIENT_ID: 'C',
      AUTH0_CLIENT_SECRET: SECRET,
      API_KEYS: `test:${'k'.repeat(32)}:read`,
    }
    const { code, stdout, stderr } = await run('', valuesOfEnvFile, ['--wait', '1500ms'])
    expect(stdout).toContain('.env exists: it is used, and not changed')
    expect(stdout).toContain('Waiting for a logout')
    expect(stderr).toContain('No logout of a user appeared within 1.5 s')
    expect(code).toBe(1)
    expect(await readFile(envFilePath(), 'utf8')).toBe(text)
  })

  test('init continues if no worker has run since an earlier init, although doctor reports stale data', async () => {
    expect((await run(INPUT, {}, ['--wait', '10ms'])).code).toBe(1)
    const valuesOfEnvFile = {
      AUTH0_DOMAIN: DOMAIN,
      AUTH0_CLIENT_ID: 'C',
      AUTH0_CLIENT_SECRET: SECRET,
      API_KEYS: `test:${'k'.repeat(32)}:read`,
      MAX_LAG: '100ms',
    }
    const { stdout } = await run('', valuesOfEnvFile, ['--wait', '10ms'])
    expect(stdout).toMatch(
      /^failure +freshness .*[\s\S]*no worker has run[\s\S]*Starting the worker/m,
    )
  })

  test('init exits with 1 after a signal during the wait, and keeps .env', async () => {
    const command = startCommandLine(['init'], env, { input: INPUT, context: { cwd } })
    await expect.poll(command.stdout, WAIT).toContain('Waiting for a logout')
    command.stop()
    expect(await command.ended).toBe(1)
    expect(command.stderr()).toContain('interrupted before it had finished: run it again')
    expect(command.stdout()).not.toContain('The set-up works')
    expect(await readdir(cwd)).toEqual(['.env'])
  })

  test('init stops before it asks for a value if git would track .env', async () => {
    execFileSync('git', ['init', '--quiet'], { cwd })
    const { code, stdout, stderr } = await run()
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    const [, remedy = ''] = /Run `(printf .*?)` there/.exec(stderr) ?? []
    expect(await readdir(cwd)).not.toContain('.env')
    // The printed command solves the problem.
    execFileSync('sh', ['-c', remedy], { cwd })
    // The input is empty, so the second run stops at its first question.
    const secondRun = await run('')
    expect(secondRun.stderr).toContain('AUTH0_DOMAIN is missing. Nothing was written.')
  })

  test.each([
    ['a missing line', `${DOMAIN}\nC\n`, 'AUTH0_CLIENT_SECRET is missing'],
    ['an invalid domain', `https://x/\nC\n${SECRET}\n`, 'AUTH0_DOMAIN'],
    ['a secret with a quote', `${DOMAIN}\nC\n"${SECRET}\n`, 'contains a character'],
  ])('init writes nothing after %s', async (_name, input, message) => {
    const { code, stdout, stderr } = await run(input)
    expect(code).toBe(2)
    expect(stderr).toContain(message)
    expect(stdout + stderr).not.toContain(SECRET)
    expect(await readdir(cwd)).toEqual([])
  })

  test('init advises how to continue after a wrong secret, and keeps .env', async () => {
    const { code, stdout, stderr } = await run(`${DOMAIN}\nC\nwrong-secret\n`)
    expect(code).toBe(1)
    expect(stdout).toMatch(/^failure +token /m)
    expect(stderr).toContain('run `last-logout init` again: it continues with .env')
    expect(stdout + stderr).not.toContain('wrong-secret')
    expect(await readdir(cwd)).toEqual(['.env'])
  })

  test('init reports an unreachable domain and a missing scope', async () => {
    const unreachableEnv = { AUTH0_BASE_URL: 'http://127.0.0.1:1', DATABASE_URL: '' }
    const unreachable = await run(INPUT, unreachableEnv)
    expect(unreachable.code).toBe(1)
    expect(unreachable.stdout).toMatch(/^failure +token .*127\.0\.0\.1/m)
    expect(await readFile(envFilePath(), 'utf8')).toMatch(/^DATA_DIR=\.\/data$/m)
    await rm(envFilePath())
    const credentials = { clientId: 'C', clientSecret: SECRET }
    const tenantWithoutScope = await openTenant({}, { credentials, scopes: ['read:users'] })
    onTestFinished(() => tenantWithoutScope.close())
    const unscoped = await run(INPUT, { AUTH0_BASE_URL: tenantWithoutScope.simulator.url })
    expect(unscoped.code).toBe(1)
    expect(unscoped.stdout).toMatch(/^failure +scopes +read:logs is missing/m)
  })

  test('init does not show the secret on a terminal, and writes nothing if Ctrl-C is pressed', async () => {
    const terminal = await openTerminal()
    await expect.poll(terminal.output, WAIT).toContain('Domain: ')
    terminal.type(`${DOMAIN}\r`)
    await expect.poll(terminal.output, WAIT).toContain('Client ID: ')
    terminal.type('C\r')
    await expect.poll(terminal.output, WAIT).toContain('Client Secret (not shown): ')
    terminal.type(SECRET)
    terminal.type(CTRL_C)
    expect(await terminal.exited).toBe(1)
    expect(terminal.output()).toContain('interrupted before it had finished')
    expect(terminal.output()).not.toContain(SECRET)
    expect(await readdir(cwd)).toEqual([])
  })

  test('init does not show a secret that is pasted into a terminal together with the client id', async () => {
    const terminal = await openTerminal()
    await expect.poll(terminal.output, WAIT).toContain('Domain: ')
    terminal.type(`${DOMAIN}\r`)
    await expect.poll(terminal.output, WAIT).toContain('Client ID: ')
    terminal.type(`C\r${SECRET}`)
    await expect.poll(terminal.output, WAIT).toContain('Client Secret (not shown): ')
    terminal.type(CTRL_C)
    expect(await terminal.exited).toBe(1)
    expect(terminal.output()).not.toContain(SECRET)
  })

  test('init on a terminal sets up the embedded PostgreSQL, and the next command reads its .env', async () => {
    // If this process is root, PostgreSQL runs as another user, which must reach ./data.
    await chmod(cwd, 0o711)
    delete env.DATABASE_URL
    const terminal = await openTerminal()
    for (const [question, answer] of [
      ['Domain: ', DOMAIN],
      ['Client ID: ', 'C'],
      ['Client Secret (not shown): ', SECRET],
    ] as const) {
      await expect.poll(terminal.output, WAIT).toContain(question)
      terminal.type(`${answer}\r`)
    }
    await expect.poll(terminal.output, WAIT).toContain('Waiting for a logout')
    logOut('auth0|first')
    expect(await terminal.exited).toBe(0)
    expect(terminal.output()).toContain('is refused')
    expect(terminal.output()).not.toContain(SECRET)
    // `sync` reads the credentials and the database from `.env`.
    const envOfSync = { AUTH0_BASE_URL: auth0.simulator.url }
    const { code, stdout } = await finishCommand(['sync'], envOfSync, { cwd })
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining('caught up') })
  })
})

const PROGRAM = new URL('../../dist/main.js', import.meta.url).pathname

/** Runs `init` on a pseudo-terminal, which `script` of util-linux opens. */
async function openTerminal() {
  const command = `${process.execPath} ${PROGRAM} init`
  const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    cwd,
    env: { PATH: process.env.PATH, TERM: 'dumb', SHELL: '/bin/sh', ...env },
  })
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  return {
    output: () => output,
    type: (text: string) => void child.stdin.write(text),
    exited: once(child, 'close').then(([code]) => code as number | null),
  }
}
