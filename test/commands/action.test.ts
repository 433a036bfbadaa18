import { readFile } from 'node:fs/promises'
import { beforeEach, describe, expect, test } from 'vitest'
import type { Simulator } from '../../src/simulator/server.js'
import { bindOthers, openActionTenant, readBindings, readWrites } from '../_support/actions.js'
import { finishCommand } from '../_support/cli.js'
import { finishCommandLine, startCommandLine } from '../_support/command-line.js'
import { DOMAIN } from '../_support/tenant.js'

const OLD_KEY = 'the-old-key-of-the-action-0123456789'
const KEY = 'the-new-key-of-the-action-0123456789'
const URL_OF_SERVICE = 'https://last-logout.example'
const DEPLOY = ['action', 'deploy', '--url', URL_OF_SERVICE]
const NAME = 'last-logout'

let simulator: Simulator
let env: Record<string, string>
beforeEach(async () => {
  ;({ simulator } = await openActionTenant())
  env = environmentFor(simulator)
})

/** No database: none of these commands needs one. */
function environmentFor({ url, credentials }: Simulator): Record<string, string> {
  return {
    AUTH0_DOMAIN: DOMAIN,
    AUTH0_BASE_URL: url,
    AUTH0_CLIENT_ID: credentials.clientId,
    AUTH0_CLIENT_SECRET: credentials.clientSecret,
    API_KEYS: `action:${OLD_KEY}:read,orders:${'k'.repeat(32)},action:${KEY}:read`,
  }
}

describe('action print', () => {
  test('writes the file and nothing else, without any configuration', async () => {
    const { code, stdout, stderr } = await finishCommand(['action', 'print'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toBe(await readFile('dist/login-action.cjs', 'utf8'))
  })
})

describe('action deploy', () => {
  test('says each step, then that nothing is to be changed, and never a secret', async () => {
    bindOthers(simulator, 2)
    const first = await finishCommandLine(DEPLOY, env)
    expect(first).toEqual({
      code: 0,
      stderr: '',
      stdout:
        'create the Action last-logout, with the secrets LAST_LOGOUT_API_KEY, LAST_LOGOUT_URL\n' +
        'deploy it, as soon as Auth0 has built it\n' +
        'bind it to post-login, after the 2 bound there\n' +
        'done: last-logout is deployed and bound\n',
    })
    simulator.requests.clear()
    const second = await finishCommandLine(DEPLOY, env)
    expect(second).toEqual({
      code: 0,
      stderr: '',
      stdout: 'nothing to change: last-logout is deployed and bound\n',
    })
    expect(readWrites(simulator)).toEqual([])
    expect(readBindings(simulator).map(({ action }) => action.name)).toEqual([
      'other 0',
      'other 1',
      NAME,
    ])
  })

  test('gives the Action what it was told, and the newer of two keys', async () => {
    const flags = ['--mode', 'observe', '--on-error', 'deny', '--timeout-ms', '2500']
    const more = ['--namespace', 'https://acme.example/', '--policy', 'user', '--name', 'ours']
    const { code, stdout } = await finishCommandLine([...DEPLOY, ...flags, ...more], env)
    expect(code).toBe(0)
    expect(simulator.actions.secretsOf('ours')).toEqual({
      LAST_LOGOUT_URL: URL_OF_SERVICE,
      LAST_LOGOUT_API_KEY: KEY,
      LAST_LOGOUT_MODE: 'observe',
      LAST_LOGOUT_ON_ERROR: 'deny',
      LAST_LOGOUT_TIMEOUT_MS: '2500',
      LAST_LOGOUT_NAMESPACE: 'https://acme.example/',
      LAST_LOGOUT_POLICY: 'user',
    })
    expect(stdout).not.toContain(KEY)
  })

  test('with --dry-run says what would change, and only reads', async () => {
    await finishCommandLine(DEPLOY, env)
    simulator.actions.update(simulator.actions.list()[0]?.id ?? '', {
      secrets: [{ name: 'BY_HAND', value: 'x' }],
    })
    simulator.requests.clear()
    const { code, stdout } = await finishCommandLine([...DEPLOY, '--dry-run'], env)
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout:
        'would update the Action last-logout: secrets; not ours, and removed: BY_HAND\n' +
        'would deploy it, as soon as Auth0 has built it\n' +
        'nothing was changed\n',
    })
    expect(readWrites(simulator)).toEqual([])
  })

  test.each([
    ['--url', 'http://last-logout.example'],
    ['--url', 'https://user:hunter2@last-logout.example'],
    ['--url', 'https://last-logout.example/?a=b'],
    ['--url', 'last-logout.example'],
    ['--mode', 'off'],
    ['--on-error', 'ignore'],
    ['--timeout-ms', '0'],
    ['--timeout-ms', '8001'],
    ['--timeout-ms', '1s'],
    ['--namespace', 'https://acme.example'],
    ['--namespace', 'acme'],
    ['--namespace', 'https://acme.eu.auth0.com/'],
    ['--namespace', 'https://AUTH0.com/'],
    ['--namespace', 'https://x.webtask.io/'],
    ['--namespace', 'https://webtask.run/'],
    ['--namespace', 'urn:auth0:'],
    ['--policy', 'everyone'],
  ])('refuses %s %s with exit 2, before it asks Auth0 for anything', async (flag, value) => {
    const { code, stderr } = await finishCommandLine([...DEPLOY, flag, value], env)
    expect(code).toBe(2)
    expect(stderr).toMatch(new RegExp(`^  - ${flag} must be`, 'm'))
    expect(stderr).not.toContain('hunter2')
    expect(simulator.requests.count()).toBe(0)
  })

  test.each([
    ['none', `orders:${KEY}`, /API_KEYS=…,action:KEY:read/],
    ['one that may not read', `action:${KEY}:feed`, /no role read/],
    ['no key at all', '', /API_KEYS=…,action:KEY:read/],
  ])('with %s named action exits 2, and says what to add', async (_what, keys, said) => {
    const { code, stderr } = await finishCommandLine(DEPLOY, { ...env, API_KEYS: keys })
    expect(code).toBe(2)
    expect(stderr).toMatch(said)
    expect(stderr).not.toContain(KEY)
  })

  test('without --url exits 2', async () => {
    const { code, stderr } = await finishCommandLine(['action', 'deploy'], env)
    expect(code).toBe(2)
    expect(stderr).toContain('--url')
  })

  test('without a scope exits 1, and names it', async () => {
    const narrow = await openActionTenant({ scopes: ['read:actions'] })
    const { code, stderr } = await finishCommandLine(DEPLOY, environmentFor(narrow.simulator))
    expect(code).toBe(1)
    expect(stderr).toMatch(/lacks create:actions .*Dashboard/)
    expect(stderr).not.toMatch(/ {4}at /)
  })

  test('that is stopped exits 1: nobody shall take it for deployed', async () => {
    const slow = await openActionTenant({ actionBuildMs: 60_000 })
    const command = startCommandLine(DEPLOY, environmentFor(slow.simulator))
    await expect.poll(() => readWrites(slow.simulator), { timeout: 10_000 }).toHaveLength(1)
    command.stop()
    expect(await command.ended).toBe(1)
    expect(command.stderr()).toMatch(/stopped before the end: run this again/)
    expect(command.stdout() + command.stderr()).not.toContain(KEY)
  })
})

describe('action status', () => {
  test('exits 1 before the Action is deployed, and says what to do', async () => {
    const { code, stdout, stderr } = await finishCommandLine(['action', 'status'], env)
    expect({ code, stdout }).toEqual({
      code: 1,
      stdout: 'tenant     tenant.example\nAction     last-logout\nexists     no\n',
    })
    expect(stderr).toMatch(/last-logout action deploy/)
  })

  test('exits 0 when it is, and needs no API key for that', async () => {
    bindOthers(simulator, 1)
    await finishCommandLine(DEPLOY, env)
    const { API_KEYS: _, ...rest } = env
    expect(await finishCommandLine(['action', 'status'], rest)).toEqual({
      code: 0,
      stderr: '',
      stdout:
        'tenant     tenant.example\n' +
        'Action     last-logout\n' +
        'code       of this version\n' +
        'deployed   yes\n' +
        'bound      yes, as number 2 of 2\n' +
        'secrets    LAST_LOGOUT_API_KEY, LAST_LOGOUT_URL\n',
    })
  })

  test('exits 1 when its code is changed, or it is not bound', async () => {
    await finishCommandLine(DEPLOY, env)
    simulator.actions.update(simulator.actions.list()[0]?.id ?? '', { code: '// changed' })
    simulator.bindings.replace({ bindings: [] })
    const { code, stdout } = await finishCommandLine(['action', 'status'], env)
    expect(code).toBe(1)
    expect(stdout).toMatch(/^code +of another version, or changed$/m)
    expect(stdout).toMatch(/^deployed +no/m)
    expect(stdout).toMatch(/^bound +no$/m)
  })
})

test.each([[['action']], [['action', 'nonsense']], [['action', 'print', '--nonsense']]])(
  'the usage is pointed to after %j, with exit 2',
  async (args) => {
    const { code, stderr } = await finishCommandLine(args)
    expect(code).toBe(2)
    expect(stderr).toMatch(/--help|Usage: last-logout action/)
  },
)
