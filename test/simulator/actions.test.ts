import { describe, expect, test } from 'vitest'
import { type StartedSimulator, start } from './start.js'

// An Action is code that Auth0 runs at a trigger, here `post-login`. Its code is first a draft. Auth0 builds the draft,
// which can then be deployed as a version. A binding adds a deployed Action to the list that a trigger runs.

/** The duration of a build, in milliseconds, for tests that set a duration. By default, a build takes no time. */
const BUILD_MS = 1_000
const scopes = ['read:actions', 'create:actions', 'update:actions']
const createDraft = (name: string, overrides: object = {}) => ({
  name,
  supported_triggers: [{ id: 'post-login', version: 'v3' }],
  code: 'exports.onExecutePostLogin = async () => {}',
  ...overrides,
})
const ACTIONS = 'actions/actions'
const TRIGGERS = 'actions/triggers'
const BINDINGS = `${TRIGGERS}/post-login/bindings`

/** Returns this number of dependencies. */
const dependencies = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ name: `package-${n}`, version: '1.0.0' }))

/** Creates an Action, and returns its id. */
async function createAction({ call }: StartedSimulator, name: string): Promise<string> {
  return (await call('POST', ACTIONS, createDraft(name))).body.id
}

/** Creates and deploys an Action, and returns its id. */
async function createDeployedAction(api: StartedSimulator, name: string): Promise<string> {
  const id = await createAction(api, name)
  expect((await api.call('POST', `${ACTIONS}/${id}/deploy`)).status).toBe(202)
  return id
}

/** Returns a new binding to the Action with this id. */
const bindingTo = (actionId: string) => ({ ref: { type: 'action_id', value: actionId } })

describe('an Action', () => {
  test('an Action is created as a draft, and its response contains only the names of its secrets', async () => {
    const { call } = await start({ scopes })
    const secrets = [{ name: 'KEY', value: 'hush' }]
    const response = await call('POST', ACTIONS, createDraft('a', { secrets }))
    expect(response.status).toBe(201)
    expect(response.body).toMatchObject({
      name: 'a',
      runtime: 'node22',
      secrets: [{ name: 'KEY', updated_at: '2026-03-01T12:00:00.000Z' }],
      all_changes_deployed: false,
    })
    const { body } = await call('GET', `${ACTIONS}/${response.body.id}`)
    expect(body).toEqual(response.body)
    expect(JSON.stringify(body)).not.toContain('hush')
  })

  test('the status of an Action is pending, then building, then built, by the clock of the tenant', async () => {
    const api = await start({ scopes, actionBuildMs: BUILD_MS })
    const id = await createAction(api, 'a')
    const readStatus = async () => (await api.call('GET', `${ACTIONS}/${id}`)).body.status
    const statuses = [await readStatus()]
    for (let step = 0; step < 2; step++) {
      api.clock.ms += BUILD_MS / 2
      statuses.push(await readStatus())
    }
    expect(statuses).toEqual(['pending', 'building', 'built'])
  })

  test('an Action cannot be deployed before its build has succeeded', async () => {
    const api = await start({ scopes, actionBuildMs: BUILD_MS })
    api.simulator.actions.failNextBuild()
    const id = await createAction(api, 'a')
    const deploy = () => api.call('POST', `${ACTIONS}/${id}/deploy`)
    expect(await deploy()).toMatchObject({
      status: 400,
      body: { message: "A draft must be in the 'built' state before it can be deployed." },
    })
    api.clock.ms += BUILD_MS
    expect((await api.call('GET', `${ACTIONS}/${id}`)).body.status).toBe('failed')
    expect((await deploy()).status).toBe(400)
  })

  test('an Action keeps its deployed version until the new version is deployed', async () => {
    const api = await start({ scopes, actionBuildMs: BUILD_MS })
    const id = await createAction(api, 'a')
    const readAction = async () => (await api.call('GET', `${ACTIONS}/${id}`)).body
    api.clock.ms += BUILD_MS
    await api.call('POST', `${ACTIONS}/${id}/deploy`)
    // A deployment also takes the time of a build.
    expect(await readAction()).toMatchObject({ all_changes_deployed: false })
    api.clock.ms += BUILD_MS
    expect(await readAction()).toMatchObject({
      all_changes_deployed: true,
      deployed_version: { number: 1 },
    })
    await api.call('PATCH', `${ACTIONS}/${id}`, { code: '// new' })
    expect(await readAction()).toMatchObject({
      code: '// new',
      status: 'pending',
      all_changes_deployed: false,
      deployed_version: { code: createDraft('a').code },
    })
  })

  test('an update of an Action keeps the fields that it omits, and a list of secrets replaces all secrets', async () => {
    const { call, simulator } = await start({ scopes })
    const secretA = { name: 'A', value: '1' }
    const secretB = { name: 'B', value: '2' }
    const { body } = await call('POST', ACTIONS, createDraft('a', { secrets: [secretA] }))
    await call('PATCH', `${ACTIONS}/${body.id}`, { code: '// new' })
    expect(simulator.actions.secretsOf('a')).toEqual({ A: '1' })
    await call('PATCH', `${ACTIONS}/${body.id}`, { secrets: [secretB] })
    expect(simulator.actions.secretsOf('a')).toEqual({ B: '2' })
  })

  test('an Action that is created with `deploy` is deployed when its build has succeeded', async () => {
    const api = await start({ scopes, actionBuildMs: BUILD_MS })
    const { body } = await api.call('POST', ACTIONS, createDraft('a', { deploy: true }))
    expect(body).not.toHaveProperty('deploy')
    expect(body).toMatchObject({ status: 'pending', all_changes_deployed: false })
    api.clock.ms += BUILD_MS
    expect((await api.call('GET', `${ACTIONS}/${body.id}`)).body).toMatchObject({
      status: 'built',
      all_changes_deployed: true,
      deployed_version: { number: 1, status: 'built' },
    })
  })

  test('an Action whose build has failed is not deployed by `deploy`', async () => {
    const api = await start({ scopes })
    api.simulator.actions.failNextBuild()
    const { body } = await api.call('POST', ACTIONS, createDraft('a', { deploy: true }))
    expect(body).toMatchObject({ status: 'failed', all_changes_deployed: false })
    expect(body).not.toHaveProperty('deployed_version')
  })

  test('a dependency can name its registry', async () => {
    const { call } = await start({ scopes })
    const dependencies = [{ name: 'lodash', version: '4.0.0', registry_url: 'https://npm.example' }]
    const { status, body } = await call('POST', ACTIONS, createDraft('a', { dependencies }))
    expect({ status, body }).toMatchObject({ status: 201, body: { dependencies } })
  })

  test('an Action can be deployed and deleted by requests of the type JSON with an empty body', async () => {
    const api = await start({ scopes: [...scopes, 'delete:actions'] })
    const id = await createAction(api, 'a')
    const headers = { 'content-type': 'application/json' }
    const send = async (method: string, path: string) =>
      (await api.call(method, path, undefined, headers)).status
    expect(await send('POST', `${ACTIONS}/${id}/deploy`)).toBe(202)
    expect(await send('DELETE', `${ACTIONS}/${id}`)).toBe(204)
    // A new Action requires a body.
    expect(await send('POST', ACTIONS)).toBe(400)
  })

  test.each([
    ['no trigger', createDraft('b', { supported_triggers: [] }), 400],
    ['eleven dependencies', createDraft('b', { dependencies: dependencies(11) }), 400],
    ['an unknown field', createDraft('b', { nonsense: 1 }), 400],
    ['code of more than 100,000 characters', createDraft('b', { code: 'x'.repeat(100_001) }), 400],
    ['a name that another Action has', createDraft('a'), 409],
  ])('a new Action is refused with %s', async (_case, body, status) => {
    const api = await start({ scopes })
    await createAction(api, 'a')
    const response = await api.call('POST', ACTIONS, body)
    expect(response).toMatchObject({ status, body: { statusCode: status } })
  })
})

describe('the list of Actions', () => {
  test('the list of Actions has pages, and can be filtered by name, trigger and deployment', async () => {
    const api = await start({ scopes })
    for (let n = 0; n < 25; n++) await createAction(api, `a${n}`)
    await createDeployedAction(api, 'deployed')
    const listActions = async (query: string) => {
      const { body } = await api.call('GET', `${ACTIONS}?${query}`)
      return { ...body, actions: body.actions.map(({ name }: { name: string }) => name) }
    }
    expect(await listActions('')).toMatchObject({ total: 26, page: 0, per_page: 20 })
    expect((await listActions('page=2&per_page=10')).actions).toHaveLength(6)
    expect((await listActions('actionName=a7')).actions).toEqual(['a7'])
    expect((await listActions('deployed=true')).actions).toEqual(['deployed'])
    expect((await listActions('triggerId=credentials-exchange')).actions).toEqual([])
    expect((await api.call('GET', `${ACTIONS}?per_page=101`)).status).toBe(400)
  })
})

test('the list of triggers contains the runtimes with which an Action can be created', async () => {
  const { call } = await start({ scopes })
  const { body } = await call('GET', TRIGGERS)
  expect(body.triggers).toMatchObject([{ id: 'post-login', version: 'v3', status: 'CURRENT' }])
  for (const runtime of body.triggers[0].runtimes) {
    expect((await call('POST', ACTIONS, createDraft(runtime, { runtime }))).status).toBe(201)
  }
})

describe('bindings', () => {
  test('an update of the bindings replaces all bindings in the given order, and accepts references by Action id, Action name and binding id', async () => {
    const api = await start({ scopes })
    const a = await createDeployedAction(api, 'a')
    const b = await createDeployedAction(api, 'b')
    const c = await createDeployedAction(api, 'c')
    const replaceBindings = (...bindings: object[]) => api.call('PATCH', BINDINGS, { bindings })
    const { body } = await replaceBindings({ ...bindingTo(a), display_name: 'First' }, bindingTo(b))
    const [first] = body.bindings
    await replaceBindings(
      { ref: { type: 'action_name', value: 'c' } },
      { ref: { type: 'binding_id', value: first.id } },
    )
    const { body: listedBindings } = await api.call('GET', BINDINGS)
    expect(listedBindings).toMatchObject({
      total: 2,
      bindings: [
        { display_name: 'c', trigger_id: 'post-login', action: { id: c } },
        { id: first.id, display_name: 'First', action: { id: a } },
      ],
    })
  })

  test('a binding is refused if its Action is not deployed or does not exist', async () => {
    const api = await start({ scopes })
    const id = await createAction(api, 'a')
    for (const value of [id, 'unknown']) {
      const { status } = await api.call('PATCH', BINDINGS, { bindings: [bindingTo(value)] })
      expect(status).toBe(400)
    }
  })
})

test('a bound Action is deleted only with force, which also removes its binding', async () => {
  const api = await start({ scopes: [...scopes, 'delete:actions'] })
  const a = await createDeployedAction(api, 'a')
  const b = await createDeployedAction(api, 'b')
  await api.call('PATCH', BINDINGS, { bindings: [bindingTo(a), bindingTo(b)] })
  expect(await api.call('DELETE', `${ACTIONS}/${a}`)).toMatchObject({ status: 409 })
  expect((await api.call('DELETE', `${ACTIONS}/${a}?force=true`)).status).toBe(204)
  expect(await api.call('GET', BINDINGS)).toMatchObject({
    status: 200,
    body: { bindings: [{ action: { id: b } }] },
  })
  expect((await api.call('DELETE', `${ACTIONS}/${a}?force=true`)).status).toBe(404)
})

describe('the scope', () => {
  test.each([
    ['read:actions', 'GET', ACTIONS],
    ['read:actions', 'GET', `${ACTIONS}/x`],
    ['create:actions', 'POST', ACTIONS],
    ['update:actions', 'PATCH', `${ACTIONS}/x`],
    ['create:actions', 'POST', `${ACTIONS}/x/deploy`],
    ['delete:actions', 'DELETE', `${ACTIONS}/x`],
    ['read:actions', 'GET', TRIGGERS],
    ['read:actions', 'GET', BINDINGS],
    ['update:actions', 'PATCH', BINDINGS],
  ])('the scope %s is required for %s %s', async (scope, method, path) => {
    const { call } = await start({ scopes: scopes.filter((other) => other !== scope) })
    expect(await call(method, path)).toMatchObject({
      status: 403,
      body: { errorCode: 'insufficient_scope', message: expect.stringContaining(scope) },
    })
  })
})
