import { readFile } from 'node:fs/promises'
import { beforeEach, describe, expect, test } from 'vitest'
import type { Simulator } from '../../src/simulator/server.js'
import {
  addAction,
  bindOtherActions,
  listWriteRequests,
  openActionTenant,
  readBindings,
} from '../_support/actions.js'
import { finishCommand } from '../_support/cli.js'
import { finishCommandLine, startCommandLine } from '../_support/command-line.js'
import { DOMAIN } from '../_support/tenant.js'

const OLD_KEY = 'the-old-key-of-the-action-0123456789'
const KEY = 'the-new-key-of-the-action-0123456789'
const SERVICE_URL = 'https://last-logout.example'
const DEPLOY_ARGS = ['action', 'deploy', '--url', SERVICE_URL]
const NAME = 'last-logout'

let simulator: Simulator
let env: Record<string, string>
beforeEach(async () => {
  ;({ simulator } = await openActionTenant())
  env = environmentFor(simulator)
})

/**
 * Returns environment variables for commands that use this tenant, but no database. The caller `action` has an old and a
 * new key, as while a key is replaced.
 */
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
  test('action print prints the source and nothing else, without any configuration', async () => {
    const { code, stdout, stderr } = await finishCommand(['action', 'print'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toBe(await readFile('dist/login-action.cjs', 'utf8'))
  })
})

describe('action deploy', () => {
  test('action deploy prints each step without the values of secrets, and "no changes" if nothing changes', async () => {
    bindOtherActions(simulator, 2)
    const first = await finishCommandLine(DEPLOY_ARGS, env)
    expect(first).toEqual({
      code: 0,
      stderr: '',
      stdout:
        'create the Action last-logout, with the secrets LAST_LOGOUT_API_KEY, LAST_LOGOUT_URL\n' +
        'deploy the Action when Auth0 has built it\n' +
        'bind the Action to post-login, after the 2 Actions that are bound to it\n' +
        'done: last-logout is deployed and bound\n',
    })
    simulator.requests.clear()
    const second = await finishCommandLine(DEPLOY_ARGS, env)
    expect(second).toEqual({
      code: 0,
      stderr: '',
      stdout: 'no changes: last-logout is deployed and bound\n',
    })
    expect(listWriteRequests(simulator)).toEqual([])
    expect(readBindings(simulator).map(({ action }) => action.name)).toEqual([
      'other 0',
      'other 1',
      NAME,
    ])
  })

  test('action deploy stores its options and the last of the two keys as secrets of the Action', async () => {
    const flags = ['--mode', 'observe', '--on-error', 'deny', '--timeout-ms', '2500']
    const moreFlags = ['--namespace', 'https://acme.example/', '--policy', 'user', '--name', 'ours']
    const { code, stdout } = await finishCommandLine([...DEPLOY_ARGS, ...flags, ...moreFlags], env)
    expect(code).toBe(0)
    expect(simulator.actions.secretsOf('ours')).toEqual({
      LAST_LOGOUT_URL: SERVICE_URL,
      LAST_LOGOUT_API_KEY: KEY,
      LAST_LOGOUT_MODE: 'observe',
      LAST_LOGOUT_ON_ERROR: 'deny',
      LAST_LOGOUT_TIMEOUT_MS: '2500',
      LAST_LOGOUT_NAMESPACE: 'https://acme.example/',
      LAST_LOGOUT_POLICY: 'user',
    })
    expect(stdout).not.toContain(KEY)
  })

  test('action deploy stores its options without the white space around them', async () => {
    const flags = ['--url', ` ${SERVICE_URL}\n`, '--mode', 'observe ', '--timeout-ms', ' 2500']
    expect((await finishCommandLine(['action', 'deploy', ...flags], env)).code).toBe(0)
    expect(simulator.actions.secretsOf(NAME)).toEqual({
      LAST_LOGOUT_URL: SERVICE_URL,
      LAST_LOGOUT_API_KEY: KEY,
      LAST_LOGOUT_MODE: 'observe',
      LAST_LOGOUT_TIMEOUT_MS: '2500',
    })
  })

  test('action deploy --dry-run prints the changes, and sends no request that writes', async () => {
    await finishCommandLine(DEPLOY_ARGS, env)
    simulator.actions.update(simulator.actions.list()[0]?.id ?? '', {
      secrets: [{ name: 'BY_HAND', value: 'x' }],
    })
    simulator.requests.clear()
    const { code, stdout } = await finishCommandLine([...DEPLOY_ARGS, '--dry-run'], env)
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout:
        'would update the Action last-logout: secrets; remove the unknown secrets BY_HAND\n' +
        'would deploy the Action when Auth0 has built it\n' +
        'dry run: nothing was changed\n',
    })
    expect(listWriteRequests(simulator)).toEqual([])
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
  ])(
    'action deploy rejects %s %s with exit code 2, before it sends a request to Auth0',
    async (flag, value) => {
      const { code, stderr } = await finishCommandLine([...DEPLOY_ARGS, flag, value], env)
      expect(code).toBe(2)
      expect(stderr).toMatch(new RegExp(`^  - ${flag} must be`, 'm'))
      expect(stderr).not.toContain('hunter2')
      expect(simulator.requests.count()).toBe(0)
    },
  )

  test.each([
    ['has no key named action', `orders:${KEY}`, /API_KEYS=…,action:KEY:read/],
    ['has a key named action without the role read', `action:${KEY}:feed`, /without the role read/],
    ['is empty', '', /API_KEYS=…,action:KEY:read/],
  ])(
    'action deploy exits with 2 and suggests a key if API_KEYS %s',
    async (_case, apiKeys, expectedError) => {
      const { code, stderr } = await finishCommandLine(DEPLOY_ARGS, {
        ...env,
        API_KEYS: apiKeys,
      })
      expect(code).toBe(2)
      expect(stderr).toMatch(expectedError)
      expect(stderr).not.toContain(KEY)
    },
  )

  test('action deploy exits with 2 if --url is missing', async () => {
    const { code, stderr } = await finishCommandLine(['action', 'deploy'], env)
    expect(code).toBe(2)
    expect(stderr).toContain('--url')
  })

  test('action deploy exits with 1 if scopes are missing, and names them', async () => {
    const tenantWithoutScopes = await openActionTenant({ scopes: ['read:actions'] })
    const { code, stderr } = await finishCommandLine(
      DEPLOY_ARGS,
      environmentFor(tenantWithoutScopes.simulator),
    )
    expect(code).toBe(1)
    expect(stderr).toMatch(/lacks create:actions .*Dashboard/)
    // A line of a stack begins like this.
    expect(stderr).not.toMatch(/ {4}at /)
  })

  test('action deploy exits with 1 if it is interrupted before the Action is deployed', async () => {
    const slowTenant = await openActionTenant({ actionBuildMs: 60_000 })
    const command = startCommandLine(DEPLOY_ARGS, environmentFor(slowTenant.simulator))
    await expect
      .poll(() => listWriteRequests(slowTenant.simulator), { timeout: 10_000 })
      .toHaveLength(1)
    command.stop()
    expect(await command.ended).toBe(1)
    expect(command.stderr()).toMatch(/interrupted before it had finished: run it again/)
    expect(command.stdout() + command.stderr()).not.toContain(KEY)
  })
})

describe('action status', () => {
  test.each([
    [[], 'LAST_LOGOUT_URL and LAST_LOGOUT_API_KEY'],
    [['LAST_LOGOUT_URL'], 'LAST_LOGOUT_API_KEY'],
  ])(
    'action status fails if an Action of this version has only the secrets %j',
    async (names, missing) => {
      const code = await readFile('dist/login-action.cjs', 'utf8')
      const secrets = names.map((name) => ({ name, value: 'x' }))
      const value = addAction(simulator, NAME, { code, secrets })
      simulator.bindings.replace({ bindings: [{ ref: { type: 'action_id', value } }] })
      const { code: exitCode, stderr } = await finishCommandLine(['action', 'status'], env)
      expect(exitCode).toBe(1)
      expect(stderr).toContain(`The Action ${NAME} lacks the secret ${missing}`)
    },
  )

  test('action status exits with 1 if the Action is not deployed, and suggests action deploy', async () => {
    const { code, stdout, stderr } = await finishCommandLine(['action', 'status'], env)
    expect({ code, stdout }).toEqual({
      code: 1,
      stdout: 'tenant     tenant.example\nAction     last-logout\nexists     no\n',
    })
    expect(stderr).toMatch(/last-logout action deploy/)
  })

  test('action status exits with 0 if the Action is deployed, and needs no API key', async () => {
    bindOtherActions(simulator, 1)
    await finishCommandLine(DEPLOY_ARGS, env)
    const { API_KEYS: _, ...envWithoutKeys } = env
    expect(await finishCommandLine(['action', 'status'], envWithoutKeys)).toEqual({
      code: 0,
      stderr: '',
      stdout:
        'tenant     tenant.example\n' +
        'Action     last-logout\n' +
        'code       of this version\n' +
        'deployed   yes\n' +
        'bound      yes, at position 2 of 2\n' +
        'secrets    LAST_LOGOUT_API_KEY, LAST_LOGOUT_URL\n',
    })
  })

  test('action status exits with 1 and shows why if the code was modified and the Action is not bound', async () => {
    await finishCommandLine(DEPLOY_ARGS, env)
    simulator.actions.update(simulator.actions.list()[0]?.id ?? '', { code: '// changed' })
    simulator.bindings.replace({ bindings: [] })
    const { code, stdout } = await finishCommandLine(['action', 'status'], env)
    expect(code).toBe(1)
    expect(stdout).toMatch(/^code +of another version, or modified$/m)
    expect(stdout).toMatch(/^deployed +no/m)
    expect(stdout).toMatch(/^bound +no$/m)
  })
})

test.each([[['action']], [['action', 'nonsense']], [['action', 'print', '--nonsense']]])(
  'the program suggests the help after the arguments %j, and exits with 2',
  async (args) => {
    const { code, stderr } = await finishCommandLine(args)
    expect(code).toBe(2)
    expect(stderr).toMatch(/--help|Usage: last-logout action/)
  },
)
