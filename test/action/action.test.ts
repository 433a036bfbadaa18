import { createServer, type RequestListener } from 'node:http'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readActionFile } from '../../src/auth0/actions/code.js'
import { fold } from '../../src/rules/fold.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openLoopback } from '../_support/loopback.js'
import { loadActionWithLog, type RunAction } from '../_support/run-action.js'
import { KEY, serveApi } from '../_support/served-api.js'
import { CHECKPOINT, openTestStore } from '../_support/store.js'
import { DOMAIN } from '../_support/tenant.js'

const LOGGED_OUT = 'last_logout: the session was logged out'
const NAMESPACE = 'https://last-logout/'
const MINUTE_MS = 60_000
const LOGOUT_AT = Date.now() - 10 * MINUTE_MS

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
let store: Awaited<ReturnType<typeof openTestStore>>
let api: Awaited<ReturnType<typeof serveApi>>
beforeAll(async () => {
  code = await readActionFile()
  run = loadActionWithLog(code)
  database = await createTestDatabase()
  store = await openTestStore(database, { domain: DOMAIN })
  await store.setFirstCheckpoint(CHECKPOINT, null)
  const sessionLogout = {
    logId: 'L1',
    type: 'slo',
    at: LOGOUT_AT,
    userId: 'auth0|out',
    sessionId: 'phone',
  }
  const allSessionsLogout = { ...sessionLogout, logId: 'L2', userId: 'auth0|all', sessionId: null }
  await store.storeBatch({ ...fold([sessionLogout, allSessionsLogout]), unattributable: [] })
  await store.storeCaughtUp(CHECKPOINT, Date.now())
  api = await serveApi(database)
})
afterAll(async () => {
  await api.close()
  await store.close()
  await database.drop()
})

const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * MINUTE_MS).toISOString()
const secrets = (secretOverrides: Record<string, string> = {}) => ({
  LAST_LOGOUT_URL: api.url,
  LAST_LOGOUT_API_KEY: KEY,
  ...secretOverrides,
})
/** Builds an event with these fields, in addition to the fields of every event. */
const event = (
  protocol: string,
  fields: object = {},
  secretOverrides: Record<string, string> = {},
) => ({
  user: { user_id: 'auth0|out' },
  client: { client_id: 'app' },
  request: {},
  transaction: { protocol },
  secrets: secrets(secretOverrides),
  ...fields,
})
const refresh = (fields: object = {}, secretOverrides: Record<string, string> = {}) =>
  event('oauth2-refresh-token', fields, secretOverrides)

describe('the built Action', () => {
  test('the built Action is smaller than the size limit of Auth0, and requires no module', () => {
    expect(code.length).toBeLessThan(100_000)
    expect(code).not.toMatch(/\brequire\(/)
  })
})

describe('an interactive login', () => {
  test.each(INTERACTIVE)('a login by %s gets the claims, and is never denied', async (protocol) => {
    const before = Math.floor(Date.now() / 1000)
    const { accessToken, idToken, denied } = await run(
      event(protocol, {
        session: { id: 'phone' },
        authentication: { methods: [{ timestamp: minutesAgo(60) }] },
      }),
    )
    expect(denied).toBeNull()
    expect(accessToken).toEqual({
      [`${NAMESPACE}authenticated_at`]: expect.any(Number),
      [`${NAMESPACE}session_id`]: 'phone',
      [`${NAMESPACE}last_logout`]: LOGOUT_AT / 1000,
    })
    expect(idToken).toEqual(accessToken)
    expect(accessToken[`${NAMESPACE}authenticated_at`]).toBeGreaterThanOrEqual(before)
  })

  test('the login of a user who never logged out gets no last_logout claim', async () => {
    const { accessToken } = await run(
      event('oidc-basic-profile', { user: { user_id: 'auth0|new' }, session: { id: 'S' } }),
    )
    expect(accessToken).not.toHaveProperty([`${NAMESPACE}last_logout`])
  })

  test('a login gets claims in the configured namespace', async () => {
    const customNamespace = { LAST_LOGOUT_NAMESPACE: 'https://acme.example/' }
    const { accessToken } = await run(event('samlp', {}, customNamespace))
    expect(Object.keys(accessToken)).toEqual([
      'https://acme.example/authenticated_at',
      'https://acme.example/last_logout',
    ])
  })
})

describe('an exchange', () => {
  const refreshTokenFields = (created: number, session_id?: string) => ({
    refresh_token: { id: 'r', created_at: minutesAgo(created), ...(session_id && { session_id }) },
  })
  const methodsFields = (...minutes: number[]) => ({
    authentication: {
      methods: minutes.map((m) => ({ name: 'pwd', timestamp: minutesAgo(m) })),
    },
  })

  test.each([
    [
      'the refresh token of a session that was logged out',
      refreshTokenFields(20, 'phone'),
      LOGGED_OUT,
    ],
    ['the refresh token of another session', refreshTokenFields(20, 'laptop'), null],
    [
      'a refresh token without a session from before the logout',
      refreshTokenFields(20),
      LOGGED_OUT,
    ],
    ['a refresh token without a session from after the logout', refreshTokenFields(5), null],
    ['an event.session that was logged out', { session: { id: 'phone' } }, LOGGED_OUT],
    ['another event.session and an unknown login', { session: { id: 'laptop' } }, null],
    ['methods from before the logout', methodsFields(20), LOGGED_OUT],
    ['methods of which one is from after the logout', methodsFields(20, 5), null],
    [
      'an ended session and a later refresh token',
      { ...refreshTokenFields(1, 'phone') },
      LOGGED_OUT,
    ],
    ['neither session nor login, and a logout that may cover it', {}, null],
  ])('an exchange with %s gets the denial %s', async (_what, fields, denied) => {
    expect((await run(refresh(fields))).denied).toBe(denied)
  })

  test.each(EXCHANGES.concat('an unknown protocol'))(
    'an exchange by %s is denied after a logout',
    async (protocol) => {
      expect((await run(event(protocol, refreshTokenFields(20)))).denied).toBe(LOGGED_OUT)
      expect((await run(event(protocol, refreshTokenFields(5)))).denied).toBeNull()
    },
  )

  test('an exchange gets the claims of the login from which its session began (pitfall 24)', async () => {
    const { accessToken, denied } = await run(refresh(refreshTokenFields(5, 'laptop')))
    expect(denied).toBeNull()
    expect(accessToken[`${NAMESPACE}session_id`]).toBe('laptop')
    expect(accessToken[`${NAMESPACE}authenticated_at`]).toBeCloseTo(
      (Date.now() - 5 * MINUTE_MS) / 1000,
      -1,
    )
  })

  test('an exchange whose login is unknown gets no authenticated_at', async () => {
    const { accessToken } = await run(refresh({ session: { id: 'laptop' } }))
    expect(accessToken).not.toHaveProperty([`${NAMESPACE}authenticated_at`])
    expect(accessToken[`${NAMESPACE}session_id`]).toBe('laptop')
  })

  test('an exchange of another session is denied if the secret or the service sets the policy user', async () => {
    const other = refreshTokenFields(20, 'laptop')
    expect((await run(refresh(other, { LAST_LOGOUT_POLICY: 'user' }))).denied).toBe(LOGGED_OUT)
    const userPolicyApi = await serveApi(database, { POLICY: 'user' })
    const userPolicyUrl = { LAST_LOGOUT_URL: userPolicyApi.url }
    expect((await run(refresh(other, userPolicyUrl))).denied).toBe(LOGGED_OUT)
    const lenient = { ...userPolicyUrl, LAST_LOGOUT_POLICY: 'session' }
    expect((await run(refresh(other, lenient))).denied).toBeNull()
    await userPolicyApi.close()
  })

  test('an exchange is never denied with the mode observe, and the log line contains no user id', async () => {
    const { denied, logLines } = await run(
      refresh(refreshTokenFields(20), { LAST_LOGOUT_MODE: 'observe' }),
    )
    expect(denied).toBeNull()
    expect(logLines).toEqual([expect.stringContaining('not denied')])
    expect(logLines.join()).not.toContain('auth0|out')
  })
})

describe('an unknown revocation status', () => {
  const denyUnknown = { LAST_LOGOUT_ON_ERROR: 'deny' }

  test.each([
    ['an unknown login and a logout that may cover it', {}],
    ['an unknown login and session', { user: { user_id: 'auth0|all' } }],
  ])(
    'LAST_LOGOUT_ON_ERROR decides about an exchange with %s (pitfall 28)',
    async (_what, fields) => {
      expect((await run(refresh(fields))).denied).toBeNull()
      expect((await run(refresh(fields, denyUnknown))).denied).toMatch(/revocation status/)
    },
  )

  test('an exchange with an unknown login is not denied if the user never logged out', async () => {
    const fields = { user: { user_id: 'auth0|new' } }
    expect((await run(refresh(fields, denyUnknown))).denied).toBeNull()
  })

  test('the revocation status is unknown if the data is stale, or if the first catch-up is not complete', async () => {
    const stale = await createTestDatabase()
    const staleStore = await openTestStore(stale, { domain: DOMAIN })
    const staleApi = await serveApi(stale)
    const secretOverrides = { LAST_LOGOUT_URL: staleApi.url, ...denyUnknown }
    expect((await run(refresh({}, secretOverrides))).denied).toMatch(/revocation status/)
    await staleStore.setFirstCheckpoint(CHECKPOINT, null)
    await staleStore.storeCaughtUp(CHECKPOINT, Date.now() - 6 * MINUTE_MS)
    expect((await run(refresh({}, secretOverrides))).denied).toMatch(/revocation status/)
    await staleStore.storeCaughtUp(CHECKPOINT, Date.now() - 4 * MINUTE_MS)
    expect((await run(refresh({}, secretOverrides))).denied).toBeNull()
    await staleApi.close()
    await staleStore.close()
    await stale.drop()
  })

  const json =
    (body: unknown): RequestListener =>
    (_request, response) =>
      void response.end(JSON.stringify(body))
  test.each<[string, RequestListener]>([
    ['does not respond', () => {}],
    ['sends an incomplete response', (_request, response) => void response.write('{')],
    ['closes the connection', (request) => void request.destroy()],
    ['responds with 500', (_request, response) => void response.writeHead(500).end()],
    ['responds with 401', (_request, response) => void response.writeHead(401).end()],
    [
      'redirects',
      (_request, response) => void response.writeHead(302, { location: api.url }).end(),
    ],
    ['responds with HTML', (_request, response) => void response.end('<html>')],
    ['responds with an empty body', (_request, response) => void response.end()],
    ['responds with null', json(null)],
    ['responds with a list', json([])],
    ['responds with another object', json({ ok: true })],
    ['responds with a malformed instant', json({ policy: 'session', last_logout_at: 'yesterday' })],
    ['responds with a megabyte', (_request, response) => void response.end('x'.repeat(1e6))],
  ])(
    'the revocation status is unknown if the service %s, and a login still gets its claims',
    async (_what, listen) => {
      const { url, close } = await openLoopback(createServer(listen))
      const secretOverrides = { LAST_LOGOUT_URL: url, LAST_LOGOUT_TIMEOUT_MS: '200' }
      const startedAt = performance.now()

      const login = await run(
        event('oidc-basic-profile', { session: { id: 'S' } }, secretOverrides),
      )
      expect(login.denied).toBeNull()
      expect(Object.keys(login.accessToken)).toEqual([
        `${NAMESPACE}authenticated_at`,
        `${NAMESPACE}session_id`,
      ])
      expect((await run(refresh({}, secretOverrides))).denied).toBeNull()
      const result = await run(refresh({}, { ...secretOverrides, ...denyUnknown }))
      expect(result.denied).toMatch(/revocation status/)
      expect(result.logLines.join()).toMatch(/lookup failed/)
      expect(result.logLines.join()).not.toContain(KEY)
      const observed = { ...secretOverrides, ...denyUnknown, LAST_LOGOUT_MODE: 'observe' }
      expect((await run(refresh({}, observed))).denied).toBeNull()

      expect(performance.now() - startedAt).toBeLessThan(3_000)
      await close()
    },
  )

  test.each([
    [{ LAST_LOGOUT_URL: '' }, /LAST_LOGOUT_URL/],
    [{ LAST_LOGOUT_URL: 'last-logout' }, /LAST_LOGOUT_URL/],
    [{ LAST_LOGOUT_API_KEY: '' }, /LAST_LOGOUT_API_KEY/],
    [{ LAST_LOGOUT_API_KEY: 'secret\nkey' }, /lookup failed/],
    [{ LAST_LOGOUT_TIMEOUT_MS: 'soon' }, /LAST_LOGOUT_TIMEOUT_MS/],
    [{ LAST_LOGOUT_MODE: 'monitor' }, /LAST_LOGOUT_MODE/],
    [{ LAST_LOGOUT_POLICY: 'all' }, /LAST_LOGOUT_POLICY/],
    [{ LAST_LOGOUT_ON_ERROR: 'ignore' }, /LAST_LOGOUT_ON_ERROR/],
  ])(
    'the Action logs the names of the invalid secrets %j, but not their values',
    async (secretOverrides, line) => {
      const { logLines, accessToken } = await run(event('oidc-basic-profile', {}, secretOverrides))
      expect(logLines.join()).toMatch(line)
      expect(logLines.join()).not.toContain('secret\nkey')
      expect(accessToken).toHaveProperty([`${NAMESPACE}authenticated_at`])
    },
  )
})

describe('an unexpected error', () => {
  test('the Action never throws and never denies an interactive login, whatever the event contains', async () => {
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
      fc.asyncProperty(protocol, fields, async (protocol, fields) => {
        const secretOverrides = { LAST_LOGOUT_ON_ERROR: 'deny', LAST_LOGOUT_TIMEOUT_MS: '500' }
        const { denied } = await run({ ...event(protocol, {}, secretOverrides), ...fields })
        if (INTERACTIVE.includes(protocol)) expect(denied).toBeNull()
      }),
      { numRuns: 150 },
    )
  })

  test.each([
    ['deny', {}, /revocation status/],
    ['deny with the mode observe', { LAST_LOGOUT_MODE: 'observe' }, null],
    ['allow', { LAST_LOGOUT_ON_ERROR: 'allow' }, null],
  ])(
    'an unexpected error in an exchange has the effect of LAST_LOGOUT_ON_ERROR %s',
    async (_what, secretOverrides, expected) => {
      const broken = {
        ...refresh({}, { LAST_LOGOUT_ON_ERROR: 'deny', ...secretOverrides }),
        user: null,
      }
      const { denied } = await run(broken)
      if (expected === null) expect(denied).toBeNull()
      else expect(denied).toMatch(expected)
    },
  )

  test('the Action denies an exchange even if setCustomClaim throws', async () => {
    const fail = () => {
      throw new Error('no')
    }
    const api = { accessToken: { setCustomClaim: fail }, idToken: { setCustomClaim: fail } }
    const fields = { refresh_token: { created_at: minutesAgo(20) } }
    expect((await run(refresh(fields), api)).denied).toBe(LOGGED_OUT)
    await run(refresh(fields), { ...api, access: { deny: fail } })
  })
})
