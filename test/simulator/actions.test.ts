import { describe, expect, test } from 'vitest'
import { type Started, start } from './start.js'

const scopes = ['read:actions', 'create:actions', 'update:actions']
const draft = (name: string, more: object = {}) => ({
  name,
  supported_triggers: [{ id: 'post-login', version: 'v3' }],
  code: 'exports.onExecutePostLogin = async () => {}',
  ...more,
})
const ACTIONS = 'actions/actions'
const TRIGGERS = 'actions/triggers'
const BINDINGS = `${TRIGGERS}/post-login/bindings`

async function create({ call }: Started, name: string): Promise<string> {
  return (await call('POST', ACTIONS, draft(name))).body.id
}

async function createDeployed(started: Started, name: string): Promise<string> {
  const id = await create(started, name)
  expect((await started.call('POST', `${ACTIONS}/${id}/deploy`)).status).toBe(202)
  return id
}

const byId = (value: string) => ({ ref: { type: 'action_id', value } })

describe('an Action', () => {
  test('is created as a draft, and returned with the names of its secrets only', async () => {
    const { call } = await start({ scopes })
    const secrets = [{ name: 'KEY', value: 'hush' }]
    const created = await call('POST', ACTIONS, draft('a', { secrets }))
    expect(created.status).toBe(201)
    expect(created.body).toMatchObject({
      name: 'a',
      runtime: 'node22',
      secrets: [{ name: 'KEY', updated_at: '2026-03-01T12:00:00.000Z' }],
      all_changes_deployed: false,
    })
    const { body } = await call('GET', `${ACTIONS}/${created.body.id}`)
    expect(body).toEqual(created.body)
    expect(JSON.stringify(body)).not.toContain('hush')
  })

  test('is pending, then building, then built, by the clock of the tenant', async () => {
    const started = await start({ scopes, actionBuildMs: 1_000 })
    const id = await create(started, 'a')
    const status = async () => (await started.call('GET', `${ACTIONS}/${id}`)).body.status
    const seen = [await status()]
    for (let step = 0; step < 2; step++) {
      started.clock.ms += 500
      seen.push(await status())
    }
    expect(seen).toEqual(['pending', 'building', 'built'])
  })

  test('cannot be deployed before its build, nor after a failed build', async () => {
    const started = await start({ scopes, actionBuildMs: 1_000 })
    started.simulator.actions.failNextBuild()
    const id = await create(started, 'a')
    const deploy = () => started.call('POST', `${ACTIONS}/${id}/deploy`)
    expect(await deploy()).toMatchObject({
      status: 400,
      body: { message: "A draft must be in the 'built' state before it can be deployed." },
    })
    started.clock.ms += 1_000
    expect((await started.call('GET', `${ACTIONS}/${id}`)).body.status).toBe('failed')
    expect((await deploy()).status).toBe(400)
  })

  test('keeps its deployed version until the new version is built', async () => {
    const started = await start({ scopes, actionBuildMs: 1_000 })
    const id = await create(started, 'a')
    const read = async () => (await started.call('GET', `${ACTIONS}/${id}`)).body
    started.clock.ms += 1_000
    await started.call('POST', `${ACTIONS}/${id}/deploy`)
    expect(await read()).toMatchObject({ all_changes_deployed: false })
    started.clock.ms += 1_000
    expect(await read()).toMatchObject({
      all_changes_deployed: true,
      deployed_version: { number: 1 },
    })
    await started.call('PATCH', `${ACTIONS}/${id}`, { code: '// new' })
    expect(await read()).toMatchObject({
      code: '// new',
      status: 'pending',
      all_changes_deployed: false,
      deployed_version: { code: draft('a').code },
    })
  })

  test('keeps fields that a PATCH omits, and replaces all secrets', async () => {
    const { call, simulator } = await start({ scopes })
    const [a, b] = [
      { name: 'A', value: '1' },
      { name: 'B', value: '2' },
    ]
    const { body } = await call('POST', ACTIONS, draft('a', { secrets: [a] }))
    await call('PATCH', `${ACTIONS}/${body.id}`, { code: '// new' })
    expect(simulator.actions.secretsOf('a')).toEqual({ A: '1' })
    await call('PATCH', `${ACTIONS}/${body.id}`, { secrets: [b] })
    expect(simulator.actions.secretsOf('a')).toEqual({ B: '2' })
  })

  test.each([
    ['no trigger', draft('b', { supported_triggers: [] }), 400],
    ['an unknown field', draft('b', { nonsense: 1 }), 400],
    ['code beyond 100 kB', draft('b', { code: 'x'.repeat(100_001) }), 400],
    ['a name that is taken', draft('a'), 409],
  ])('is refused with %s', async (_what, body, status) => {
    const started = await start({ scopes })
    await create(started, 'a')
    const response = await started.call('POST', ACTIONS, body)
    expect(response).toMatchObject({ status, body: { statusCode: status } })
  })
})

describe('the list of Actions', () => {
  test('has pages, and filters by name, trigger and deployment', async () => {
    const started = await start({ scopes })
    for (let n = 0; n < 25; n++) await create(started, `a${n}`)
    await createDeployed(started, 'deployed')
    const list = async (query: string) => {
      const { body } = await started.call('GET', `${ACTIONS}?${query}`)
      return { ...body, actions: body.actions.map(({ name }: { name: string }) => name) }
    }
    expect(await list('')).toMatchObject({ total: 26, page: 0, per_page: 20 })
    expect((await list('page=2&per_page=10')).actions).toHaveLength(6)
    expect((await list('actionName=a7')).actions).toEqual(['a7'])
    expect((await list('deployed=true')).actions).toEqual(['deployed'])
    expect((await list('triggerId=credentials-exchange')).actions).toEqual([])
    expect((await started.call('GET', `${ACTIONS}?per_page=101`)).status).toBe(400)
  })
})

test('the list of triggers contains the runtimes of an Action', async () => {
  const { call } = await start({ scopes })
  const { body } = await call('GET', TRIGGERS)
  expect(body.triggers).toMatchObject([{ id: 'post-login', version: 'v3', status: 'CURRENT' }])
  for (const runtime of body.triggers[0].runtimes) {
    expect((await call('POST', ACTIONS, draft(runtime, { runtime }))).status).toBe(201)
  }
})

describe('bindings', () => {
  test('are replaced as a whole, in the given order, by any of three references', async () => {
    const started = await start({ scopes })
    const [a, b, c] = await Promise.all(
      ['a', 'b', 'c'].map((name) => createDeployed(started, name)),
    )
    const replace = (...bindings: object[]) => started.call('PATCH', BINDINGS, { bindings })
    const { body } = await replace({ ...byId(a ?? ''), display_name: 'First' }, byId(b ?? ''))
    const [first] = body.bindings
    await replace(
      { ref: { type: 'action_name', value: 'c' } },
      { ref: { type: 'binding_id', value: first.id } },
    )
    const list = (await started.call('GET', BINDINGS)).body
    expect(list).toMatchObject({
      total: 2,
      bindings: [
        { display_name: 'c', trigger_id: 'post-login', action: { id: c } },
        { id: first.id, display_name: 'First', action: { id: a } },
      ],
    })
  })

  test('are refused for an Action that is not deployed or does not exist', async () => {
    const started = await start({ scopes })
    const id = await create(started, 'a')
    for (const value of [id, 'unknown']) {
      const { status } = await started.call('PATCH', BINDINGS, { bindings: [byId(value)] })
      expect(status).toBe(400)
    }
  })
})

describe('the scope', () => {
  test.each([
    ['read:actions', 'GET', ACTIONS],
    ['read:actions', 'GET', `${ACTIONS}/x`],
    ['create:actions', 'POST', ACTIONS],
    ['update:actions', 'PATCH', `${ACTIONS}/x`],
    ['create:actions', 'POST', `${ACTIONS}/x/deploy`],
    ['read:actions', 'GET', TRIGGERS],
    ['read:actions', 'GET', BINDINGS],
    ['update:actions', 'PATCH', BINDINGS],
  ])('%s is required for %s %s', async (scope, method, path) => {
    const { call } = await start({ scopes: scopes.filter((other) => other !== scope) })
    expect(await call(method, path)).toMatchObject({
      status: 403,
      body: { errorCode: 'insufficient_scope', message: expect.stringContaining(scope) },
    })
  })
})
