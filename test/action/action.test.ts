import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readActionFile } from '../../src/auth0/actions/code.js'
import { fold } from '../../src/rules/fold.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { loadRecorded, type RunAction } from '../_support/run-action.js'
import { KEY, serveApi } from '../_support/served-api.js'
import { openStore } from '../_support/store.js'
import { DOMAIN } from '../_support/tenant.js'

const CHECKPOINT = '90020261123100000000000000000000000000000000000000000000'
const LOGGED_OUT = 'last_logout: the session was logged out'
const NS = 'https://last-logout/'
const MINUTE_MS = 60_000
const LOGOUT = Date.now() - 10 * MINUTE_MS

const INTERACTIVE = [
  'oidc-basic-profile',
  'oidc-implicit-profile',
  'oidc-hybrid-profile',
  'oidc-ciba',
  'oidc-ciba-web-link',
  'oauth2-device-code',
  'oauth2-resource-owner',
  'oauth2-password',
  'oauth2-webauthn',
  'samlp',
  'wsfed',
  'wstrust-usernamemixed',
]
const EXCHANGES = [
  'oauth2-refresh-token',
  'oauth2-token-exchange',
  'oauth2-resource-owner-jwt-bearer',
  'oauth2-access-token',
]

let code: string
let run: RunAction
let database: TestDatabase
let store: Awaited<ReturnType<typeof openStore>>
let api: Awaited<ReturnType<typeof serveApi>>
beforeAll(async () => {
  code = await readActionFile()
  run = loadRecorded(code)
  database = await createTestDatabase()
  store = await openStore(database, { domain: DOMAIN })
  await store.begin(CHECKPOINT, null)
  const ended = { logId: 'L1', type: 'slo', at: LOGOUT, userId: 'auth0|out', sessionId: 'phone' }
  const all = { ...ended, logId: 'L2', userId: 'auth0|all', sessionId: null }
  await store.storeBatch({ ...fold([ended, all]), unattributable: [] })
  await store.storeCaughtUp(CHECKPOINT, Date.now())
  api = await serveApi(database)
})
afterAll(async () => {
  await api.close()
  await store.close()
  await database.drop()
})

const ago = (minutes: number) => new Date(Date.now() - minutes * MINUTE_MS).toISOString()
const secrets = (over: Record<string, string> = {}) => ({
  LAST_LOGOUT_URL: api.url,
  LAST_LOGOUT_API_KEY: KEY,
  ...over,
})
/** An event in which a plan or a flow has these fields beside those that are always there. */
const event = (protocol: string, fields: object = {}, over: Record<string, string> = {}) => ({
  user: { user_id: 'auth0|out' },
  client: { client_id: 'app' },
  request: {},
  transaction: { protocol },
  secrets: secrets(over),
  ...fields,
})
const refresh = (fields: object = {}, over: Record<string, string> = {}) =>
  event('oauth2-refresh-token', fields, over)

describe('the built file', () => {
  test('is below the limit of an Action, and asks for no module', () => {
    expect(code.length).toBeLessThan(100_000)
    expect(code).not.toMatch(/\brequire\(/)
  })
})

describe('an interactive login', () => {
  test.each(INTERACTIVE)('by %s is given the claims, and never refused', async (protocol) => {
    const before = Math.floor(Date.now() / 1000)
    const { accessToken, idToken, denied } = await run(
      event(protocol, {
        session: { id: 'phone' },
        authentication: { methods: [{ timestamp: ago(60) }] },
      }),
    )
    expect(denied).toBeNull()
    expect(accessToken).toEqual({
      [`${NS}authenticated_at`]: expect.any(Number),
      [`${NS}session_id`]: 'phone',
      [`${NS}last_logout`]: LOGOUT / 1000,
    })
    expect(idToken).toEqual(accessToken)
    expect(accessToken[`${NS}authenticated_at`]).toBeGreaterThanOrEqual(before)
  })

  test('of somebody who never logged out has no last_logout', async () => {
    const { accessToken } = await run(
      event('oidc-basic-profile', { user: { user_id: 'auth0|new' }, session: { id: 'S' } }),
    )
    expect(accessToken).not.toHaveProperty([`${NS}last_logout`])
  })

  test('has claims of the namespace that is told', async () => {
    const namespace = { LAST_LOGOUT_NAMESPACE: 'https://acme.example/' }
    const { accessToken } = await run(event('samlp', {}, namespace))
    expect(Object.keys(accessToken)).toEqual([
      'https://acme.example/authenticated_at',
      'https://acme.example/last_logout',
    ])
  })
})

describe('an exchange', () => {
  const enterprise = (created: number, session_id?: string) => ({
    refresh_token: { id: 'r', created_at: ago(created), ...(session_id && { session_id }) },
  })
  const methods = (...minutes: number[]) => ({
    authentication: { methods: minutes.map((m) => ({ name: 'pwd', timestamp: ago(m) })) },
  })

  test.each([
    ['Enterprise, the session that was logged out', enterprise(20, 'phone'), LOGGED_OUT],
    ['Enterprise, another session', enterprise(20, 'laptop'), null],
    ['Enterprise, no session, from before', enterprise(20), LOGGED_OUT],
    ['Enterprise, no session, from after', enterprise(5), null],
    ['event.session, that was logged out', { session: { id: 'phone' } }, LOGGED_OUT],
    ['event.session, another, login unknown', { session: { id: 'laptop' } }, null],
    ['methods from before', methods(20), LOGGED_OUT],
    ['methods, one from after', methods(20, 5), null],
    ['an ended session, whatever the time', { ...enterprise(1, 'phone') }, LOGGED_OUT],
    ['nothing that tells, and a logout that may cover it', {}, null],
  ])('with %s: denied for %s', async (_what, fields, denied) => {
    expect((await run(refresh(fields))).denied).toBe(denied)
  })

  test.each(EXCHANGES.concat('a protocol of tomorrow'))('by %s is judged', async (protocol) => {
    expect((await run(event(protocol, enterprise(20)))).denied).toBe(LOGGED_OUT)
    expect((await run(event(protocol, enterprise(5)))).denied).toBeNull()
  })

  test('carries the claims of the login that it continues (P24)', async () => {
    const { accessToken, denied } = await run(refresh(enterprise(5, 'laptop')))
    expect(denied).toBeNull()
    expect(accessToken[`${NS}session_id`]).toBe('laptop')
    expect(accessToken[`${NS}authenticated_at`]).toBeCloseTo(
      (Date.now() - 5 * MINUTE_MS) / 1000,
      -1,
    )
  })

  test('of an unknown login leaves the claim out', async () => {
    const { accessToken } = await run(refresh({ session: { id: 'laptop' } }))
    expect(accessToken).not.toHaveProperty([`${NS}authenticated_at`])
    expect(accessToken[`${NS}session_id`]).toBe('laptop')
  })

  test('of another session is refused where one logout ends all: by secret, or by the service', async () => {
    const other = enterprise(20, 'laptop')
    expect((await run(refresh(other, { LAST_LOGOUT_POLICY: 'user' }))).denied).toBe(LOGGED_OUT)
    const strict = await serveApi(database, { POLICY: 'user' })
    const told = { LAST_LOGOUT_URL: strict.url }
    expect((await run(refresh(other, told))).denied).toBe(LOGGED_OUT)
    const lenient = { ...told, LAST_LOGOUT_POLICY: 'session' }
    expect((await run(refresh(other, lenient))).denied).toBeNull()
    await strict.close()
  })

  test('is never refused while observing; what would be is said, without the user', async () => {
    const { denied, lines } = await run(refresh(enterprise(20), { LAST_LOGOUT_MODE: 'observe' }))
    expect(denied).toBeNull()
    expect(lines).toEqual([expect.stringContaining('not denied')])
    expect(lines.join()).not.toContain('auth0|out')
  })
})

describe('not knowing', () => {
  const unsure = { LAST_LOGOUT_ON_ERROR: 'deny' }

  test.each([
    ['nothing tells of the login, and a logout may cover it', {}],
    ['nothing tells of the session either', { user: { user_id: 'auth0|all' } }],
  ])('%s: LAST_LOGOUT_ON_ERROR decides (P28)', async (_what, fields) => {
    expect((await run(refresh(fields))).denied).toBeNull()
    expect((await run(refresh(fields, unsure))).denied).toMatch(/cannot be said/)
  })

  test('a login that nothing tells of is let through where no logout covers it', async () => {
    const fields = { user: { user_id: 'auth0|new' } }
    expect((await run(refresh(fields, unsure))).denied).toBeNull()
  })

  test('a log that was never read to its end, or long ago, is not knowing', async () => {
    const stale = await createTestDatabase()
    const staleStore = await openStore(stale, { domain: DOMAIN })
    const staleApi = await serveApi(stale)
    const over = { LAST_LOGOUT_URL: staleApi.url, ...unsure }
    expect((await run(refresh({}, over))).denied).toMatch(/cannot be said/)
    await staleStore.begin(CHECKPOINT, null)
    await staleStore.storeCaughtUp(CHECKPOINT, Date.now() - 6 * MINUTE_MS)
    expect((await run(refresh({}, over))).denied).toMatch(/cannot be said/)
    await staleStore.storeCaughtUp(CHECKPOINT, Date.now() - 4 * MINUTE_MS)
    expect((await run(refresh({}, over))).denied).toBeNull()
    await staleApi.close()
    await staleStore.close()
    await stale.drop()
  })

  const json =
    (body: unknown): RequestListener =>
    (_request, response) =>
      void response.end(JSON.stringify(body))
  test.each<[string, RequestListener]>([
    ['is slow', () => {}],
    ['drips', (_request, response) => void response.write('{')],
    ['is away', (request) => void request.destroy()],
    ['answers 500', (_request, response) => void response.writeHead(500).end()],
    ['answers 401', (_request, response) => void response.writeHead(401).end()],
    [
      'redirects',
      (_request, response) => void response.writeHead(302, { location: api.url }).end(),
    ],
    ['answers HTML', (_request, response) => void response.end('<html>')],
    ['answers nothing', (_request, response) => void response.end()],
    ['answers null', json(null)],
    ['answers a list', json([])],
    ['answers another object', json({ ok: true })],
    ['answers rubbish for an instant', json({ policy: 'session', last_logout_at: 'yesterday' })],
    ['answers endlessly', (_request, response) => void response.end('x'.repeat(1e6))],
  ])(
    'a service that %s is not knowing, and the claims are set all the same',
    async (_what, listen) => {
      const server = createServer(listen).listen(0, '127.0.0.1')
      await once(server, 'listening')
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      const over = { LAST_LOGOUT_URL: url, LAST_LOGOUT_TIMEOUT_MS: '200' }
      const startedAt = performance.now()

      const login = await run(event('oidc-basic-profile', { session: { id: 'S' } }, over))
      expect(login.denied).toBeNull()
      expect(Object.keys(login.accessToken)).toEqual([`${NS}authenticated_at`, `${NS}session_id`])
      expect((await run(refresh({}, over))).denied).toBeNull()
      const denied = await run(refresh({}, { ...over, ...unsure }))
      expect(denied.denied).toMatch(/cannot be said/)
      expect(denied.lines.join()).toMatch(/could not be asked/)
      expect(denied.lines.join()).not.toContain(KEY)
      const observed = { ...over, ...unsure, LAST_LOGOUT_MODE: 'observe' }
      expect((await run(refresh({}, observed))).denied).toBeNull()

      expect(performance.now() - startedAt).toBeLessThan(3_000)
      server.close()
      server.closeAllConnections()
    },
  )

  test.each([
    [{ LAST_LOGOUT_URL: '' }, /LAST_LOGOUT_URL/],
    [{ LAST_LOGOUT_URL: 'last-logout' }, /LAST_LOGOUT_URL/],
    [{ LAST_LOGOUT_API_KEY: '' }, /LAST_LOGOUT_API_KEY/],
    [{ LAST_LOGOUT_API_KEY: 'secret\nkey' }, /could not be asked/],
    [{ LAST_LOGOUT_TIMEOUT_MS: 'soon' }, /LAST_LOGOUT_TIMEOUT_MS/],
    [{ LAST_LOGOUT_MODE: 'monitor' }, /LAST_LOGOUT_MODE/],
    [{ LAST_LOGOUT_POLICY: 'all' }, /LAST_LOGOUT_POLICY/],
    [{ LAST_LOGOUT_ON_ERROR: 'ignore' }, /LAST_LOGOUT_ON_ERROR/],
  ])('the secrets %j are said to be wrong, without what they hold', async (over, line) => {
    const { lines, accessToken } = await run(event('oidc-basic-profile', {}, over))
    expect(lines.join()).toMatch(line)
    expect(lines.join()).not.toContain('secret\nkey')
    expect(accessToken).toHaveProperty([`${NS}authenticated_at`])
  })
})

describe('whatever happens', () => {
  test('it never throws, and never refuses an interactive login', async () => {
    const anything = fc.anything({ maxDepth: 2 })
    const fields = fc.record(
      {
        user: fc.oneof(fc.constant({ user_id: 'auth0|out' }), anything),
        session: fc.oneof(fc.record({ id: anything }), anything),
        refresh_token: fc.oneof(
          fc.record({ created_at: anything, session_id: anything }),
          anything,
        ),
        authentication: fc.oneof(fc.record({ methods: anything }), anything),
      },
      { requiredKeys: [] },
    )
    const protocol = fc.constantFrom(...INTERACTIVE, ...EXCHANGES)
    await fc.assert(
      fc.asyncProperty(protocol, fields, async (given, more) => {
        const over = { LAST_LOGOUT_ON_ERROR: 'deny', LAST_LOGOUT_TIMEOUT_MS: '500' }
        const { denied } = await run({ ...event(given, {}, over), ...more })
        if (INTERACTIVE.includes(given)) expect(denied).toBeNull()
      }),
      { numRuns: 150 },
    )
  })

  test.each([
    ['deny', {}, /cannot be said/],
    ['deny, observing', { LAST_LOGOUT_MODE: 'observe' }, null],
    ['allow', { LAST_LOGOUT_ON_ERROR: 'allow' }, null],
  ])(
    'an exchange in which the Action itself fails is decided by: %s',
    async (_what, over, said) => {
      const broken = { ...refresh({}, { LAST_LOGOUT_ON_ERROR: 'deny', ...over }), user: null }
      const { denied } = await run(broken)
      if (said === null) expect(denied).toBeNull()
      else expect(denied).toMatch(said)
    },
  )

  test('an API that refuses everything keeps it from nothing but its purpose', async () => {
    const refuse = () => {
      throw new Error('no')
    }
    const api = { accessToken: { setCustomClaim: refuse }, idToken: { setCustomClaim: refuse } }
    const fields = { refresh_token: { created_at: ago(20) } }
    expect((await run(refresh(fields), api)).denied).toBe(LOGGED_OUT)
    await run(refresh(fields), { ...api, access: { deny: refuse } })
  })
})
