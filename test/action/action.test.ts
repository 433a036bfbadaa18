import { createServer, type RequestListener } from 'node:http'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readActionFile } from '../../src/auth0/actions/code.js'
import { fold } from '../../src/rules/fold.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openLoopback } from '../_support/loopback.js'
import { loadActionWithLog, type RunAction } from '../_support/run-action.js'
import { KEY, METRICS_KEY, serveApi } from '../_support/served-api.js'
import { CHECKPOINT, openTestStore } from '../_support/store.js'
import { DOMAIN } from '../_support/tenant.js'

/** The reason with which the Action denies an exchange after a logout. */
const LOGGED_OUT = 'last_logout: the session was logged out'
const NAMESPACE = 'https://last-logout/'
const MINUTE_MS = 60_000
/** When the user `auth0|out` logged out of the session `phone`, and the user `auth0|all` of all sessions. */
const LOGOUT_AT = Date.now() - 10 * MINUTE_MS

/** The protocols of Auth0 with which a user logs in. */
const LOGIN_PROTOCOLS = [
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
/** The protocols of Auth0 with which an application exchanges a token for new tokens, without a login. */
const EXCHANGE_PROTOCOLS = [
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
  api = await serveApi(database, {
    API_KEYS: `actions:${KEY}:read,scraper:${METRICS_KEY}:metrics`,
  })
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
/** Builds the event of a login or an exchange: these fields, in addition to the fields of every event. */
const buildEvent = (
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
const buildExchange = (fields: object = {}, secretOverrides: Record<string, string> = {}) =>
  buildEvent('oauth2-refresh-token', fields, secretOverrides)

describe('the built Action', () => {
  test('the built Action is smaller than the size limit of Auth0, and requires no module', () => {
    expect(code.length).toBeLessThan(100_000)
    expect(code).not.toMatch(/\brequire\(/)
  })
})

describe('an interactive login', () => {
  test.each(LOGIN_PROTOCOLS)(
    'a login by %s gets the claims, and is not denied, although its session was logged out',
    async (protocol) => {
      const beforeLogin = Math.floor(Date.now() / 1000)
      const { accessToken, idToken, denied } = await run(
        buildEvent(protocol, {
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
      // The user logs in now, although the event contains a login method of an hour ago.
      expect(accessToken[`${NAMESPACE}authenticated_at`]).toBeGreaterThanOrEqual(beforeLogin)
    },
  )

  test('a login with a session transfer token counts as a login now, although it begins with a refresh token', async () => {
    const { accessToken, denied } = await run(
      buildEvent('oidc-basic-profile', {
        user: { user_id: 'auth0|all' },
        session: { id: 'web' },
        session_transfer_token: { client_id: 'native' },
        authentication: { methods: [{ timestamp: minutesAgo(20) }] },
      }),
    )
    expect(denied).toBeNull()
    expect(accessToken[`${NAMESPACE}authenticated_at`]).toBeGreaterThan(LOGOUT_AT / 1000)
  })

  test('the login of a user who never logged out gets no last_logout claim', async () => {
    const { accessToken } = await run(
      buildEvent('oidc-basic-profile', { user: { user_id: 'auth0|new' }, session: { id: 'S' } }),
    )
    expect(accessToken).not.toHaveProperty([`${NAMESPACE}last_logout`])
  })

  test('a login gets claims in the configured namespace', async () => {
    const customNamespace = { LAST_LOGOUT_NAMESPACE: 'https://acme.example/' }
    const { accessToken } = await run(buildEvent('samlp', {}, customNamespace))
    expect(Object.keys(accessToken)).toEqual([
      'https://acme.example/authenticated_at',
      'https://acme.example/last_logout',
    ])
  })

  test('the Action logs that the configured namespace is invalid', async () => {
    const customNamespace = { LAST_LOGOUT_NAMESPACE: 'https://acme.example' }
    const { logLines } = await run(buildEvent('samlp', {}, customNamespace))
    expect(logLines.join()).toMatch(/LAST_LOGOUT_NAMESPACE must be a URL or URN that ends in/)
  })
})

describe('an exchange', () => {
  // The logout was ten minutes ago: 20 minutes ago is before the logout, and 5 minutes ago is after it.
  const refreshTokenFields = (ageMinutes: number, session_id?: string) => ({
    refresh_token: {
      id: 'r',
      created_at: minutesAgo(ageMinutes),
      ...(session_id && { session_id }),
    },
  })
  const methodsFields = (...agesMinutes: number[]) => ({
    authentication: {
      methods: agesMinutes.map((age) => ({ name: 'pwd', timestamp: minutesAgo(age) })),
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
    ['a logged-out session in event.session', { session: { id: 'phone' } }, LOGGED_OUT],
    ['another session in event.session, and an unknown login', { session: { id: 'laptop' } }, null],
    ['a login method from before the logout', methodsFields(20), LOGGED_OUT],
    ['two login methods, one from after the logout', methodsFields(20, 5), null],
    [
      'a refresh token that is from after the logout, but of a logged-out session',
      refreshTokenFields(1, 'phone'),
      LOGGED_OUT,
    ],
    ['an unknown session and login, although the logout may cover the exchange', {}, null],
  ])('an exchange with %s: the denial is %s (null: not denied)', async (_what, fields, denied) => {
    expect((await run(buildExchange(fields))).denied).toBe(denied)
  })

  test.each(EXCHANGE_PROTOCOLS.concat('an unknown protocol'))(
    'an exchange by %s is denied if its refresh token is from before the logout',
    async (protocol) => {
      expect((await run(buildEvent(protocol, refreshTokenFields(20)))).denied).toBe(LOGGED_OUT)
      expect((await run(buildEvent(protocol, refreshTokenFields(5)))).denied).toBeNull()
    },
  )

  test('an exchange gets the claims of the login with which its session began (pitfall 24)', async () => {
    const { accessToken, denied } = await run(buildExchange(refreshTokenFields(5, 'laptop')))
    expect(denied).toBeNull()
    expect(accessToken[`${NAMESPACE}session_id`]).toBe('laptop')
    // The precision -1 allows a difference of 5 s.
    expect(accessToken[`${NAMESPACE}authenticated_at`]).toBeCloseTo(
      (Date.now() - 5 * MINUTE_MS) / 1000,
      -1,
    )
  })

  test('an exchange whose login is unknown gets no authenticated_at', async () => {
    const { accessToken } = await run(buildExchange({ session: { id: 'laptop' } }))
    expect(accessToken).not.toHaveProperty([`${NAMESPACE}authenticated_at`])
    expect(accessToken[`${NAMESPACE}session_id`]).toBe('laptop')
  })

  test('an exchange of a session that was not logged out is denied if a secret or the service sets the policy user', async () => {
    const otherSession = refreshTokenFields(20, 'laptop')
    expect((await run(buildExchange(otherSession, { LAST_LOGOUT_POLICY: 'user' }))).denied).toBe(
      LOGGED_OUT,
    )
    const userPolicyApi = await serveApi(database, { POLICY: 'user' })
    const userPolicyUrl = { LAST_LOGOUT_URL: userPolicyApi.url }
    expect((await run(buildExchange(otherSession, userPolicyUrl))).denied).toBe(LOGGED_OUT)
    // The secret takes precedence over the policy of the service.
    const sessionPolicy = { ...userPolicyUrl, LAST_LOGOUT_POLICY: 'session' }
    expect((await run(buildExchange(otherSession, sessionPolicy))).denied).toBeNull()
    await userPolicyApi.close()
  })

  test('in the mode observe, an exchange is not denied, and the log line contains no user id', async () => {
    const { denied, logLines } = await run(
      buildExchange(refreshTokenFields(20), { LAST_LOGOUT_MODE: 'observe' }),
    )
    expect(denied).toBeNull()
    expect(logLines).toEqual([expect.stringContaining('not denied')])
    expect(logLines.join()).not.toContain('auth0|out')
  })
})

describe('an unknown revocation status', () => {
  const denyUnknown = { LAST_LOGOUT_ON_ERROR: 'deny' }

  test.each([
    ['an unknown login and session, of a user who logged out of one session', {}],
    [
      'an unknown login and session, of a user who logged out of all sessions',
      { user: { user_id: 'auth0|all' } },
    ],
  ])(
    'LAST_LOGOUT_ON_ERROR decides about an exchange with %s, and the Action logs why it is unknown (pitfall 28)',
    async (_what, fields) => {
      const { denied, logLines } = await run(buildExchange(fields))
      expect(denied).toBeNull()
      expect(logLines).toEqual([
        expect.stringContaining(
          'revocation status unknown: the event contains no time of the login',
        ),
      ])
      expect((await run(buildExchange(fields, denyUnknown))).denied).toMatch(/revocation status/)
    },
  )

  test('an exchange with an unknown login is not denied if the user never logged out', async () => {
    const fields = { user: { user_id: 'auth0|new' } }
    const { denied, logLines } = await run(buildExchange(fields, denyUnknown))
    expect(denied).toBeNull()
    expect(logLines).toEqual([])
  })

  test('the revocation status is unknown before the log was read to its end once, and if the data is stale, which is logged', async () => {
    const otherDatabase = await createTestDatabase()
    const otherStore = await openTestStore(otherDatabase, { domain: DOMAIN })
    const otherApi = await serveApi(otherDatabase)
    const secretOverrides = { LAST_LOGOUT_URL: otherApi.url, ...denyUnknown }
    expect((await run(buildExchange({}, secretOverrides))).denied).toMatch(/revocation status/)
    // Data that is older than five minutes is stale.
    await otherStore.setFirstCheckpoint(CHECKPOINT, null)
    await otherStore.storeCaughtUp(CHECKPOINT, Date.now() - 6 * MINUTE_MS)
    expect((await run(buildExchange({}, secretOverrides))).denied).toMatch(/revocation status/)
    const { denied, logLines } = await run(buildExchange({}, { LAST_LOGOUT_URL: otherApi.url }))
    expect(denied).toBeNull()
    expect(logLines).toEqual([expect.stringMatching(/revocation status unknown: .* is stale$/)])
    // A login is not judged.
    const login = buildEvent('oidc-basic-profile', {}, secretOverrides)
    expect((await run(login)).logLines).toEqual([])
    await otherStore.storeCaughtUp(CHECKPOINT, Date.now() - 4 * MINUTE_MS)
    expect((await run(buildExchange({}, secretOverrides))).denied).toBeNull()
    await otherApi.close()
    await otherStore.close()
    await otherDatabase.drop()
  })

  const respondWithJson =
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
    ['responds with null', respondWithJson(null)],
    ['responds with a list', respondWithJson([])],
    ['responds with another object', respondWithJson({ ok: true })],
    [
      'responds with a malformed instant',
      respondWithJson({ policy: 'session', last_logout_at: 'yesterday' }),
    ],
    ['responds with a megabyte', (_request, response) => void response.end('x'.repeat(1e6))],
  ])(
    'the revocation status is unknown if the service %s, and a login still gets its claims',
    async (_what, requestListener) => {
      const { url, close } = await openLoopback(createServer(requestListener))
      const secretOverrides = { LAST_LOGOUT_URL: url, LAST_LOGOUT_TIMEOUT_MS: '200' }
      const startedAt = performance.now()

      const login = await run(
        buildEvent('oidc-basic-profile', { session: { id: 'S' } }, secretOverrides),
      )
      expect(login.denied).toBeNull()
      expect(Object.keys(login.accessToken)).toEqual([
        `${NAMESPACE}authenticated_at`,
        `${NAMESPACE}session_id`,
      ])
      expect((await run(buildExchange({}, secretOverrides))).denied).toBeNull()
      const result = await run(buildExchange({}, { ...secretOverrides, ...denyUnknown }))
      expect(result.denied).toMatch(/revocation status/)
      expect(result.logLines.join()).toMatch(/lookup failed/)
      expect(result.logLines.join()).not.toContain(KEY)
      const observeMode = { ...secretOverrides, ...denyUnknown, LAST_LOGOUT_MODE: 'observe' }
      expect((await run(buildExchange({}, observeMode))).denied).toBeNull()

      // The timeout of each of the four lookups is 200 ms. The rest is a margin for a busy machine.
      expect(performance.now() - startedAt).toBeLessThan(3_000)
      await close()
    },
  )

  test.each([
    ['401', 'does not accept LAST_LOGOUT_API_KEY', `${KEY}-of-another-service`],
    ['403', 'LAST_LOGOUT_API_KEY does not have the role read', METRICS_KEY],
  ])('after a response with status %s, the Action logs why: %s', async (status, reason, key) => {
    const { logLines } = await run(
      buildEvent('oidc-basic-profile', {}, { LAST_LOGOUT_API_KEY: key }),
    )
    expect(logLines.join()).toContain(`lookup failed: status ${status}: `)
    expect(logLines.join()).toContain(reason)
    expect(logLines.join()).not.toContain(key)
  })
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
    const protocol = fc.constantFrom(...LOGIN_PROTOCOLS, ...EXCHANGE_PROTOCOLS)
    await fc.assert(
      fc.asyncProperty(protocol, fields, async (protocol, fields) => {
        const secretOverrides = { LAST_LOGOUT_ON_ERROR: 'deny', LAST_LOGOUT_TIMEOUT_MS: '500' }
        const { denied } = await run({ ...buildEvent(protocol, {}, secretOverrides), ...fields })
        if (LOGIN_PROTOCOLS.includes(protocol)) expect(denied).toBeNull()
      }),
      { numRuns: 150 },
    )
  })

  test.each([
    ['deny', {}, /revocation status/],
    ['deny in the mode observe', { LAST_LOGOUT_MODE: 'observe' }, null],
    ['allow', { LAST_LOGOUT_ON_ERROR: 'allow' }, null],
  ])(
    'LAST_LOGOUT_ON_ERROR decides about an exchange with an unexpected error: %s',
    async (_what, secretOverrides, expectedDenial) => {
      // The Action throws internally, because it reads a field of `user`.
      const eventWithoutUser = {
        ...buildExchange({}, { LAST_LOGOUT_ON_ERROR: 'deny', ...secretOverrides }),
        user: null,
      }
      const { denied } = await run(eventWithoutUser)
      if (expectedDenial === null) expect(denied).toBeNull()
      else expect(denied).toMatch(expectedDenial)
    },
  )

  const fail = () => {
    throw new Error('unavailable')
  }
  const fields = { refresh_token: { created_at: minutesAgo(20) } }

  test('the Action denies an exchange even if setCustomClaim throws', async () => {
    const failingApi = { accessToken: { setCustomClaim: fail }, idToken: { setCustomClaim: fail } }
    expect((await run(buildExchange(fields), failingApi)).denied).toBe(LOGGED_OUT)
  })

  test.each([
    ['allow', 'throws', { access: { deny: fail } }],
    ['deny', 'throws', { access: { deny: fail } }],
    ['allow', 'does not exist', { access: undefined }],
  ])(
    'with LAST_LOGOUT_ON_ERROR=%s, the Action logs what it could not deny if deny %s',
    async (onError, _what, api) => {
      const exchange = buildExchange(fields, { LAST_LOGOUT_ON_ERROR: onError })
      const { logLines } = await run(exchange, api)
      expect(logLines).toEqual([`last_logout: not denied, because denying failed: ${LOGGED_OUT}`])
    },
  )
})
