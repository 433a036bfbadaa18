import { inspect } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'

import { BUILD_POLL_INTERVAL_MS } from '../../../src/auth0/actions/await-build.js'
import { addDigestLine, readActionFile } from '../../../src/auth0/actions/code.js'
import { deployLoginAction, readActionStatus } from '../../../src/auth0/actions/login-action.js'
import type { Step } from '../../../src/auth0/actions/plan.js'
import type { ManagementApi } from '../../../src/auth0/management-api.js'
import * as faults from '../../../src/simulator/faults.js'
import type { Simulator } from '../../../src/simulator/server.js'

import {
  ACTION_SCOPES,
  addAction,
  bindOtherActions,
  listWriteRequests,
  openActionTenant,
  readBindings,
} from '../../_support/actions.js'

import { loadActionWithLog } from '../../_support/run-action.js'
import { QUICK_RETRIES } from '../../_support/tenant.js'

const ACTIONS = '/api/v2/actions/actions'
const BINDINGS = '/api/v2/actions/triggers/post-login/bindings'
const CREATE = `POST ${ACTIONS}`
const UPDATE = `PATCH ${ACTIONS}/:id`
const DEPLOY = `POST ${ACTIONS}/:id/deploy`
const BIND = `PATCH ${BINDINGS}`

/** The name of the login Action. */
const name = 'last-logout'
const secrets = {
  LAST_LOGOUT_URL: 'https://last-logout.example',
  LAST_LOGOUT_API_KEY: 'the-key-of-the-action-0123456789abcd',
}
const { signal } = new AbortController()

let builtCode: string
beforeAll(async () => {
  builtCode = await readActionFile()
})

interface DeployArguments {
  api: ManagementApi
  secrets?: Record<string, string>
  dryRun?: boolean
  signal?: AbortSignal
}

const quickOptions = { retryLimits: QUICK_RETRIES, buildPollIntervalMs: 10 }
const deploy = ({ api, ...options }: DeployArguments, onStep: (step: Step) => void = () => {}) =>
  deployLoginAction(
    { api, name, secrets, dryRun: false, onStep, ...quickOptions, ...options },
    options.signal ?? signal,
  )

/** Whether a request lists Actions or bindings. Only these requests have a query, which states the page. */
const isListRequest = ({ search }: URL) => search !== ''
const stepKindsOf = (steps: Step[]) => steps.map(({ kind }) => kind)
const readStatus = (api: ManagementApi) => readActionStatus({ api, name }, signal)
const findLoginAction = ({ actions }: Simulator) =>
  actions.list().find((action) => action.name === name)

/** Creates the login Action of an older version of last-logout. */
function addOlderVersion(simulator: Simulator, overrides: object = {}): string {
  const code = addDigestLine('// The login Action of last-logout 0.0.1.\n', secrets)
  const secretList = Object.entries(secrets).map(([name, value]) => ({ name, value }))
  return addAction(simulator, name, { code, secrets: secretList, ...overrides })
}

describe('a first deployment', () => {
  test('a first deployment creates the Action, deploys it and binds it', async () => {
    const { simulator, api } = await openActionTenant()
    expect(stepKindsOf(await deploy({ api }))).toEqual(['create', 'deploy', 'bind'])
    expect(listWriteRequests(simulator)).toEqual([CREATE, DEPLOY, BIND])
    expect(simulator.actions.secretsOf(name)).toEqual(secrets)
    expect(findLoginAction(simulator)).toMatchObject({
      runtime: 'node22',
      supported_triggers: [{ id: 'post-login', version: 'v3' }],
      code: addDigestLine(builtCode, secrets),
    })
    expect(readBindings(simulator)).toMatchObject([{ display_name: name, action: { name } }])
  })

  test('a first deployment deploys code that runs and contains no secret', async () => {
    const { simulator, api } = await openActionTenant()
    await deploy({ api })
    const { code = '' } = findLoginAction(simulator) ?? {}
    expect(code).not.toContain(secrets.LAST_LOGOUT_API_KEY)
    const run = await loadActionWithLog(code)({
      user: { user_id: 'auth0|1' },
      session: { id: 'S1' },
      secrets: { ...secrets, LAST_LOGOUT_URL: simulator.url },
    })
    expect(run.accessToken).toMatchObject({ 'https://last-logout/session_id': 'S1' })
  })

  test('a first deployment waits for the two builds of Auth0: of the created Action, and of the deployed version', async () => {
    const { simulator, api } = await openActionTenant({ actionBuildMs: 150 })
    await deploy({ api })
    expect(listWriteRequests(simulator)).toEqual([CREATE, DEPLOY, BIND])
    expect(await readStatus(api)).toMatchObject({ deployed: true, position: 1 })
  })

  test('a deployment polls the state of the build every second', () => {
    expect(BUILD_POLL_INTERVAL_MS).toBe(1_000)
  })

  test.each([
    ['once because the draft is not built yet', 1, [CREATE, DEPLOY, DEPLOY, BIND], undefined],
    ['at every attempt', 99, [CREATE, ...Array(5).fill(DEPLOY)], 'AUTH0_REFUSED'],
  ])(
    'if Auth0 refuses a deployment %s, the deployment is attempted at most five times',
    async (_when, times, expectedRequests, expectedCode) => {
      const { simulator, api } = await openActionTenant()
      const when = ({ pathname }: URL) => pathname.endsWith('/deploy')
      simulator.faults.push({ when, times, respond: faults.respondWith(400, { statusCode: 400 }) })
      const error = await deploy({ api }).catch((error) => error)
      expect(error.code).toBe(expectedCode)
      expect(listWriteRequests(simulator)).toEqual(expectedRequests)
    },
  )
})

describe('a second deployment', () => {
  test('a second deployment with the same settings writes nothing', async () => {
    const { simulator, api } = await openActionTenant()
    await deploy({ api })
    simulator.requests.clear()
    expect(await deploy({ api })).toEqual([])
    expect(listWriteRequests(simulator)).toEqual([])
  })

  test('a second deployment with another secret updates and deploys the Action, and does not bind it again', async () => {
    const { simulator, api } = await openActionTenant()
    await deploy({ api })
    simulator.requests.clear()
    const changed = { ...secrets, LAST_LOGOUT_API_KEY: 'another-key-0123456789abcdefghijkl' }
    expect(await deploy({ api, secrets: changed })).toEqual([
      { kind: 'update', changes: ['secrets'], removedSecrets: [] },
      { kind: 'deploy' },
    ])
    expect(listWriteRequests(simulator)).toEqual([UPDATE, DEPLOY])
    expect(simulator.actions.secretsOf(name)).toEqual(changed)
    expect(await deploy({ api, secrets: changed })).toEqual([])
  })

  test('a deployment reports that it changes the code, the runtime and the trigger version of an older Action', async () => {
    const { simulator, api } = await openActionTenant()
    const supported_triggers = [{ id: 'post-login', version: 'v2' }]
    addOlderVersion(simulator, { runtime: 'node18', supported_triggers })
    expect(await readStatus(api)).toMatchObject({ exists: true, current: false, deployed: true })
    const steps = await deploy({ api })
    expect(steps[0]).toMatchObject({ changes: ['code', 'runtime', 'trigger version'] })
    expect(await readStatus(api)).toMatchObject({ current: true, deployed: true })
  })

  test('a second deployment removes secrets that were added by hand, and reports their names', async () => {
    const { simulator, api } = await openActionTenant()
    await deploy({ api })
    const otherSecrets = [{ name: 'BY_HAND', value: 'x' }]
    simulator.actions.update(findLoginAction(simulator)?.id ?? '', { secrets: otherSecrets })
    const steps = await deploy({ api })
    expect(steps[0]).toEqual({
      kind: 'update',
      changes: ['secrets'],
      removedSecrets: ['BY_HAND'],
    })
    expect(simulator.actions.secretsOf(name)).toEqual(secrets)
  })

  test('a second deployment fails if it does not repeat the optional secrets, because they would be lost', async () => {
    const { simulator, api } = await openActionTenant()
    const oldSecrets = {
      ...secrets,
      LAST_LOGOUT_MODE: 'observe',
      LAST_LOGOUT_TIMEOUT_MS: '500',
    }
    await deploy({ api, secrets: oldSecrets })
    simulator.requests.clear()
    await expect(deploy({ api })).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('--mode, --timeout-ms'),
    })
    expect(listWriteRequests(simulator)).toEqual([])
    // With all optional secrets, the deployment may change their values.
    const allSecrets = { ...oldSecrets, LAST_LOGOUT_MODE: 'enforce' }
    expect(stepKindsOf(await deploy({ api, secrets: allSecrets }))).toEqual(['update', 'deploy'])
    expect(simulator.actions.secretsOf(name)).toEqual(allSecrets)
  })

  test('a deployment updates an Action that another tool created from the output of `action print`', async () => {
    const { simulator, api } = await openActionTenant()
    addAction(simulator, name, { code: builtCode })
    expect(stepKindsOf(await deploy({ api }))).toEqual(['update', 'deploy', 'bind'])
    expect(listWriteRequests(simulator)).toEqual([UPDATE, DEPLOY, BIND])
  })
})

describe('a dry run', () => {
  test('a dry run reports the steps, and sends no request that writes', async () => {
    const { simulator, api } = await openActionTenant()
    bindOtherActions(simulator, 2)
    const steps: Step[] = []
    await deploy({ api, dryRun: true }, (step) => steps.push(step))
    expect(steps).toEqual([
      { kind: 'create', secretNames: Object.keys(secrets) },
      { kind: 'deploy' },
      { kind: 'bind', others: 2 },
    ])
    expect(listWriteRequests(simulator)).toEqual([])
    expect(findLoginAction(simulator)).toBeUndefined()
  })
})

describe('the bindings of other Actions', () => {
  // Auth0 returns the bindings in pages. 120 bindings need more than one page.
  test.each([3, 120])(
    'a deployment keeps the order and names of %d other bindings',
    async (count) => {
      const { simulator, api } = await openActionTenant()
      bindOtherActions(simulator, count)
      const bindingsBefore = readBindings(simulator)
      await deploy({ api })
      const bindingsAfter = readBindings(simulator)
      expect(bindingsAfter).toHaveLength(count + 1)
      expect(bindingsAfter.slice(0, -1)).toEqual(bindingsBefore)
      expect(bindingsAfter.at(-1)?.action.name).toBe(name)
      expect(await readStatus(api)).toMatchObject({ position: count + 1, bindings: count + 1 })
    },
  )

  test('a deployment keeps the order of the bindings if the login Action is bound first', async () => {
    const { simulator, api } = await openActionTenant()
    await deploy({ api })
    const [loginBinding] = readBindings(simulator)
    const bindingOf = (value = '') => ({ ref: { type: 'action_id', value } })
    const otherId = addAction(simulator, 'other')
    simulator.bindings.replace({
      bindings: [bindingOf(loginBinding?.action.id), bindingOf(otherId)],
    })
    await deploy({ api, secrets: { ...secrets, LAST_LOGOUT_MODE: 'observe' } })
    expect(readBindings(simulator).map(({ action }) => action.name)).toEqual([name, 'other'])
    expect(await readStatus(api)).toMatchObject({ position: 1, bindings: 2 })
  })

  test('a deployment does not replace the bindings if a proxy responds with a page of HTML', async () => {
    const { simulator, api } = await openActionTenant()
    bindOtherActions(simulator, 2)
    simulator.faults.push({ path: BINDINGS, times: 99, respond: faults.html(200) })
    await expect(deploy({ api })).rejects.toMatchObject({ code: 'AUTH0_UNAVAILABLE' })
    expect(listWriteRequests(simulator)).toEqual([])
  })

  test('a deployment does not replace the bindings if their list has no last page', async () => {
    const { simulator, api } = await openActionTenant()
    bindOtherActions(simulator, 2)
    const respond = faults.respondWith(200, { bindings: readBindings(simulator) })
    // Only 60 requests get this page, so that an endless loop of the deployment also ends.
    simulator.faults.push({ path: BINDINGS, times: 60, respond })
    await expect(deploy({ api })).rejects.toMatchObject({ code: 'NO_PROGRESS' })
    expect(listWriteRequests(simulator)).toEqual([])
    // The deployment stopped after 20 of the 60 pages.
    expect(simulator.faults.pending()).toBe(40)
  })

  test('a deployment fails if another program changes the bindings at the same time', async () => {
    const { simulator, api } = await openActionTenant()
    bindOtherActions(simulator, 2)
    // After the write, the response simulates that another program has removed the binding of the login Action.
    const respond = faults.respondWith(200, { bindings: readBindings(simulator), total: 2 })
    const isBindingWritten = () =>
      simulator.requests.all().some(({ url, method }) => url === BINDINGS && method === 'PATCH')
    simulator.faults.push({
      path: BINDINGS,
      when: (url) => isListRequest(url) && isBindingWritten(),
      respond,
    })
    await expect(deploy({ api })).rejects.toMatchObject({
      code: 'ACTION_NOT_DEPLOYED',
      message: expect.stringMatching(/changed them at the same time/),
    })
  })
})

describe('the code of the Action', () => {
  test('a deployment fails, and does not bind the Action, if another program changes its code before it is deployed', async () => {
    const { simulator, api } = await openActionTenant()
    const change = (step: Step) => {
      if (step.kind === 'deploy')
        simulator.actions.update(findLoginAction(simulator)?.id ?? '', { code: '// other' })
    }
    await expect(deploy({ api }, change)).rejects.toMatchObject({
      code: 'ACTION_NOT_DEPLOYED',
      message: expect.stringMatching(/something else changed it at the same time/),
    })
    expect(readBindings(simulator)).toEqual([])
  })

  test('a deployment succeeds if Auth0 returns the code with CRLF, and without its last line break', async () => {
    const { simulator, api } = await openActionTenant()
    const change = (step: Step) => {
      if (step.kind !== 'deploy') return
      const { id = '', code = '' } = findLoginAction(simulator) ?? {}
      simulator.actions.update(id, { code: code.trimEnd().replaceAll('\n', '\r\n') })
    }
    expect(stepKindsOf(await deploy({ api }, change))).toEqual(['create', 'deploy', 'bind'])
  })

  test('a deployment succeeds if a response is older than the code that was written', async () => {
    const { simulator, api } = await openActionTenant()
    const id = addOlderVersion(simulator)
    const oldAction = simulator.actions.toResponse(simulator.actions.get(id))
    const isDeployed = () => listWriteRequests(simulator).includes(DEPLOY)
    simulator.faults.push({
      path: `${ACTIONS}/${id}`,
      when: isDeployed,
      respond: faults.respondWith(200, oldAction),
    })
    expect(stepKindsOf(await deploy({ api }))).toEqual(['update', 'deploy', 'bind'])
    expect(simulator.faults.pending()).toBe(0)
    expect(await readStatus(api)).toMatchObject({ current: true, deployed: true, position: 1 })
  })
})

describe('another Action with the same name', () => {
  test.each([
    ['other code', {}],
    [
      'another trigger',
      {
        code: '// The login Action of last-logout 1',
        supported_triggers: [{ id: 'credentials-exchange' }],
      },
    ],
  ])(
    'a deployment does not change another Action with the same name and %s',
    async (_what, overrides) => {
      const { simulator, api } = await openActionTenant()
      addAction(simulator, name, overrides)
      await expect(deploy({ api })).rejects.toMatchObject({
        code: 'OTHER_ACTION',
        message: expect.stringContaining('--name'),
      })
      expect(listWriteRequests(simulator)).toEqual([])
    },
  )
})

describe('an interrupted deployment', () => {
  test.each([
    ['after it created the Action', `${ACTIONS}/`, [DEPLOY, BIND]],
    ['after it deployed the Action', BINDINGS, [BIND]],
  ])(
    'the next deployment completes a deployment that was interrupted %s',
    async (_when, nextPath, remainingRequests) => {
      const { simulator, api } = await openActionTenant()
      const stop = new AbortController()
      // The next request of the deployment gets no response until the abort.
      const isNextRequest = (url: URL) => url.pathname.startsWith(nextPath) && !isListRequest(url)
      simulator.faults.push({ when: isNextRequest, respond: faults.delay(60_000) })
      const deployment = deploy({ api, signal: stop.signal })
      await expect.poll(() => simulator.faults.pending()).toBe(0)
      stop.abort()
      await expect(deployment).rejects.toMatchObject({ code: 'ABORTED' })
      simulator.requests.clear()
      await deploy({ api })
      expect(listWriteRequests(simulator)).toEqual(remainingRequests)
      expect(await readStatus(api)).toMatchObject({ current: true, deployed: true, position: 1 })
    },
  )

  test('an abort ends a deployment that waits for the build of the Action', async () => {
    const { simulator, api } = await openActionTenant({ actionBuildMs: 60_000 })
    const stop = new AbortController()
    const deployment = deploy({ api, signal: stop.signal })
    await expect.poll(() => listWriteRequests(simulator)).toEqual([CREATE])
    stop.abort()
    await expect(deployment).rejects.toMatchObject({ code: 'ABORTED' })
  })
})

test('a deployment fails if the build fails, and the next deployment starts another build', async () => {
  const { simulator, api } = await openActionTenant()
  simulator.actions.failNextBuild()
  await expect(deploy({ api })).rejects.toMatchObject({
    code: 'ACTION_NOT_DEPLOYED',
    message: expect.stringContaining('could not build'),
  })
  expect((await deploy({ api }))[0]).toMatchObject({ changes: ['new build after a failed one'] })
  expect(await readStatus(api)).toMatchObject({ deployed: true, position: 1 })
})

describe('a missing scope', () => {
  test.each(ACTION_SCOPES)(
    'the error for the missing scope %s names no other scope',
    async (missing) => {
      const scopes = ACTION_SCOPES.filter((scope) => scope !== missing)
      const { api } = await openActionTenant({ scopes })
      const error = await deploy({ api }).catch((error) => error)
      expect(error).toMatchObject({ code: 'AUTH0_SCOPE', status: 403 })
      // The expression finds all scopes in the message.
      expect(error.message.match(/\w+:\w+/g)).toEqual([missing])
      expect(error.message).toContain('Dashboard')
    },
  )
})

describe('a transient error', () => {
  test.each([
    ['a rate limit', faults.rateLimited({ 'retry-after': '1' })],
    ['a server error', faults.html(502)],
    ['a connection reset', faults.connectionReset()],
  ])(
    'a deployment succeeds although the first attempt of every request fails with %s',
    async (_what, respond) => {
      const { simulator, api } = await openActionTenant()
      bindOtherActions(simulator, 1)
      const seenRequests = new Set<string>()
      const isFirstAttempt = () => {
        const { method, url } = simulator.requests.all().at(-1) ?? {}
        // Adding a request increases the size if no earlier request had the same method and URL.
        return seenRequests.size < seenRequests.add(`${method} ${url}`).size
      }
      simulator.faults.push({ times: 99, when: isFirstAttempt, respond })
      await deploy({ api })
      simulator.faults.clear()
      expect(seenRequests.size).toBeGreaterThanOrEqual(6)
      expect(simulator.actions.list().filter((action) => action.name === name)).toHaveLength(1)
      expect(readBindings(simulator)).toHaveLength(2)
      expect(await readStatus(api)).toMatchObject({ deployed: true, position: 2 })
    },
    60_000,
  )

  test('if the response to the creation of the Action was lost, a deployment does not create the Action again', async () => {
    const { simulator, api } = await openActionTenant()
    const respond = (reply: Parameters<ReturnType<typeof faults.html>>[0]) => {
      // Auth0 has created the Action before the connection is lost.
      addOlderVersion(simulator, { code: addDigestLine(builtCode, secrets) })
      return faults.connectionReset()(reply)
    }
    simulator.faults.push({ path: ACTIONS, when: (url) => !isListRequest(url), respond })
    await deploy({ api })
    expect(listWriteRequests(simulator)).toEqual([CREATE, DEPLOY, BIND])
  })
})

test('the error for a refused request contains the error code of Auth0, but not its message, which can quote a secret', async () => {
  const { simulator, api } = await openActionTenant()
  const body = { statusCode: 400, errorCode: 'invalid_body', message: secrets.LAST_LOGOUT_API_KEY }
  const respond = faults.respondWith(400, body)
  simulator.faults.push({ path: ACTIONS, when: (url) => !isListRequest(url), respond })
  const error = await deploy({ api }).catch((error) => error)
  expect(error).toMatchObject({ code: 'AUTH0_REFUSED', status: 400 })
  expect(error.message).toContain('invalid_body')
  expect(inspect(error, { depth: 9 })).not.toContain(secrets.LAST_LOGOUT_API_KEY)
})

describe('readActionStatus', () => {
  test('readActionStatus reports that the Action does not exist', async () => {
    const { simulator, api } = await openActionTenant()
    bindOtherActions(simulator, 2)
    expect(await readStatus(api)).toEqual({
      exists: false,
      current: false,
      deployed: false,
      position: null,
      bindings: 2,
      secretNames: [],
    })
  })

  test('readActionStatus sends no request that writes', async () => {
    const { simulator, api } = await openActionTenant()
    await deploy({ api })
    simulator.requests.clear()
    expect(await readStatus(api)).toMatchObject({ secretNames: Object.keys(secrets) })
    expect(new Set(simulator.requests.all().map(({ method }) => method))).toEqual(new Set(['GET']))
  })
})
