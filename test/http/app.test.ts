import { connect } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import { fold } from '../../src/rules/fold.js'
import { bearer, keys, listenOnLoopback, openApi } from '../_support/api.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { CHECKPOINT, openTestStore } from '../_support/store.js'

/** 2026-11-23T10:00:00.123Z. */
const LOGOUT_AT = 1_795_428_000_123
/** The age of the data: `as_of` is the instant up to which the log has been read. */
const LAG_MS = 840
const NOW = LOGOUT_AT + 300_000
const sessionLogout = {
  logId: CHECKPOINT,
  type: 'slo',
  at: LOGOUT_AT,
  userId: 'auth0|123',
  sessionId: 'S1',
}

let database: TestDatabase
/** The clock of the database. */
let now = NOW
let store: LastLogoutStore & { close(): Promise<void> }
let app: FastifyInstance & { logLines: string[] }
beforeAll(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database, { now: () => now })
  const allSessionsLogout = { ...sessionLogout, userId: 'auth0|all', sessionId: null }
  await store.storeBatch({ ...fold([sessionLogout, allSessionsLogout]), unattributable: [] })
  await store.setFirstCheckpoint(CHECKPOINT, null)
  await store.storeCaughtUp(CHECKPOINT, NOW - LAG_MS)
})
afterAll(async () => {
  await store.close()
  await database.drop()
})
beforeEach(async () => {
  now = NOW
  app = await openApi(store)
})
afterEach(() => app.close())

const get = (url: string, headers: Record<string, string> = bearer(keys.reader)) =>
  app.inject({ url, headers })
const postCheck = (claims: unknown, headers: Record<string, string> = bearer(keys.checker)) =>
  app.inject({ method: 'POST', url: '/v1/check', headers, payload: { claims } as object })

describe('GET /v1/users/{user_id}/last-logout', () => {
  const freshness = {
    floor_at: null,
    policy: 'session',
    as_of: '2026-11-23T10:04:59.283Z',
    lag_ms: LAG_MS,
    complete: true,
  }

  test('the API returns the last logout with its freshness (pitfall 6)', async () => {
    const response = await get('/v1/users/auth0%7C123/last-logout')
    expect(response.statusCode).toBe(200)
    expect(response.json()).toEqual({
      user_id: 'auth0|123',
      last_logout_at: '2026-11-23T10:00:00.123Z',
      last_logout: 1795428000.123,
      all_sessions_at: null,
      session: null,
      ...freshness,
    })
  })

  test('the API returns the requested session', async () => {
    const response = await get('/v1/users/auth0%7C123/last-logout?session_id=S1')
    expect(response.json().session).toEqual({
      session_id: 'S1',
      logout_at: '2026-11-23T10:00:00.123Z',
      ended: true,
    })
    const unknownSession = await get('/v1/users/auth0%7C123/last-logout?session_id=S2')
    expect(unknownSession.json().session).toEqual({
      session_id: 'S2',
      logout_at: null,
      ended: false,
    })
  })

  test('the API returns the last logout of all sessions', async () => {
    const response = await get('/v1/users/auth0%7Call/last-logout')
    expect(response.json()).toMatchObject({ all_sessions_at: '2026-11-23T10:00:00.123Z' })
  })

  test('the API returns nulls for an unknown user', async () => {
    const response = await get('/v1/users/auth0%7Cunknown/last-logout')
    expect(response.statusCode).toBe(200)
    expect(response.json()).toEqual({
      user_id: 'auth0|unknown',
      last_logout_at: null,
      last_logout: null,
      all_sessions_at: null,
      session: null,
      ...freshness,
    })
  })

  test('the API returns as_of null and complete false before the log has been read to its end', async () => {
    const emptyDatabase = await createTestDatabase()
    const storeBeforeCatchUp = await openTestStore(emptyDatabase)
    const appBeforeCatchUp = await openApi(storeBeforeCatchUp)
    const response = await appBeforeCatchUp.inject({
      url: '/v1/users/x/last-logout',
      headers: bearer(keys.reader),
    })
    expect(response.json()).toMatchObject({ as_of: null, lag_ms: null, complete: false })
    await Promise.all([appBeforeCatchUp.close(), storeBeforeCatchUp.close()])
    await emptyDatabase.drop()
  })

  test.each([
    ['a slash', 'a%2Fb', 'a/b'],
    ['letters outside ASCII', 'auth0%7C%C3%A4%F0%9F%98%80', 'auth0|ä😀'],
    ['a percent sign', '100%25', '100%'],
    ['800 percent-encoded characters', '%EF%BF%BD'.repeat(800), '\ufffd'.repeat(800)],
  ])('the API accepts an id with %s', async (_case, encoded, id) => {
    const response = await get(`/v1/users/${encoded}/last-logout`)
    expect(response.statusCode).toBe(200)
    expect(response.json().user_id).toBe(id)
  })

  test.each([
    ['malformed percent-encoding', '/v1/users/auth0%7/last-logout'],
    ['percent-encoding that is not UTF-8', '/v1/users/%ff/last-logout'],
    ['an id of 801 characters', `/v1/users/${'x'.repeat(801)}/last-logout`],
    ['an id of 9,601 characters', `/v1/users/${'x'.repeat(9601)}/last-logout`],
    ['a NUL', '/v1/users/a%00b/last-logout'],
    ['a blank id', '/v1/users/%20/last-logout'],
    ['an empty id', '/v1/users//last-logout'],
    ['a session id of 801 characters', `/v1/users/x/last-logout?session_id=${'x'.repeat(801)}`],
    ['an empty session id', '/v1/users/x/last-logout?session_id='],
    ['two session ids', '/v1/users/x/last-logout?session_id=a&session_id=b'],
  ])('the API rejects %s with 400', async (_case, url) => {
    const response = await get(url)
    expect(response.statusCode).toBe(400)
    expect(response.json()).toEqual({
      statusCode: 400,
      error: 'Bad Request',
      message: expect.any(String),
    })
  })
})

describe('POST /v1/check', () => {
  const iatBeforeLogout = LOGOUT_AT / 1000 - 60
  const sessionClaim = 'https://last-logout/session_id'

  test('the API reads the claims in the requested namespace', async () => {
    const namespace = 'https://acme.example/'
    const claims = {
      sub: 'auth0|all',
      iat: LOGOUT_AT / 1000 + 60,
      [`${namespace}authenticated_at`]: iatBeforeLogout,
    }
    const postPayload = (payload: object) =>
      app.inject({ method: 'POST', url: '/v1/check', headers: bearer(keys.checker), payload })
    expect((await postPayload({ claims, namespace })).json()).toMatchObject({ revoked: true })
    expect((await postPayload({ claims })).json()).toMatchObject({ reason: 'login_after_logout' })
  })

  test.each(['', 'https://acme.example', 'acme/'])(
    'the API rejects the namespace %j with 400, because the login Action adds no claims there',
    async (namespace) => {
      const payload = { claims: { sub: 'auth0|all', iat: LOGOUT_AT / 1000 + 60 }, namespace }
      const headers = bearer(keys.checker)
      const response = await app.inject({ method: 'POST', url: '/v1/check', headers, payload })
      expect(response.statusCode).toBe(400)
      expect(response.json().message).toMatch(/namespace must be a URL or URN that ends in/)
    },
  )

  test('the API returns revoked for a token that was issued before the logout of its session', async () => {
    const response = await postCheck({
      sub: 'auth0|123',
      iat: Math.floor(iatBeforeLogout),
      [sessionClaim]: 'S1',
    })
    expect(response.statusCode).toBe(200)
    expect(response.json()).toEqual({
      revoked: true,
      reason: 'session_ended',
      last_logout_at: '2026-11-23T10:00:00.123Z',
      login_at: '2026-11-23T09:59:00.000Z',
      as_of: '2026-11-23T10:04:59.283Z',
    })
  })

  test.each([
    ['of another session', { [sessionClaim]: 'S2', iat: iatBeforeLogout }, false, 'no_logout'],
    ['without a session, issued before the logout', { iat: iatBeforeLogout }, true, 'user_logout'],
    [
      'without a session, issued after the logout',
      { iat: LOGOUT_AT / 1000 + 1 },
      false,
      'login_after_logout',
    ],
    [
      'issued in the same second as the logout',
      { iat: Math.floor(LOGOUT_AT / 1000) },
      true,
      'user_logout',
    ],
  ])('the API judges a token %s', async (_case, claims, revoked, reason) => {
    const response = await postCheck({ sub: 'auth0|123', ...claims })
    expect(response.json()).toMatchObject({ revoked, reason })
  })

  test('the API names an unreadable claim in its error, but not the value of the claim', async () => {
    const claims = {
      sub: 'auth0|123',
      iat: iatBeforeLogout,
      'https://last-logout/authenticated_at': 'secret',
    }
    const { message } = (await postCheck(claims)).json()
    expect(message).toContain(
      'body/claims/https://last-logout/authenticated_at must be a NumericDate',
    )
    expect(message).not.toContain('secret')
  })

  test('the API returns revoked for a token without a login claim only if its user has logged out', async () => {
    const checkUser = async (sub: string) => (await postCheck({ sub })).json()
    expect(await checkUser('auth0|123')).toMatchObject({ revoked: true, reason: 'login_unknown' })
    expect(await checkUser('auth0|none')).toMatchObject({ revoked: false, reason: 'no_logout' })
  })

  test('the API reads a login claim that a gateway has converted to a string', async () => {
    const claims = { sub: 'auth0|123', iat: String(Math.floor(LOGOUT_AT / 1000) + 1) }
    expect((await postCheck(claims)).json()).toMatchObject({ reason: 'login_after_logout' })
  })

  test('the API applies the configured policy', async () => {
    const appWithUserPolicy = await openApi({ ...store, policy: 'user' })
    const response = await appWithUserPolicy.inject({
      method: 'POST',
      url: '/v1/check',
      headers: bearer(keys.checker),
      payload: { claims: { sub: 'auth0|123', iat: iatBeforeLogout, [sessionClaim]: 'S2' } },
    })
    expect(response.json()).toMatchObject({ revoked: true, reason: 'user_logout' })
    await appWithUserPolicy.close()
  })

  test.each([
    ['a body without claims', undefined],
    ['claims that are an encoded token', 'eyJ'],
    ['claims in an array', []],
    ['claims without a subject', {}],
    ['a numeric subject', { sub: 5 }],
    ['a subject that cannot be stored', { sub: 'a\0b' }],
    ['an iat in milliseconds', { sub: 'auth0|123', iat: LOGOUT_AT }],
    ['an unreadable iat of a machine token', { sub: 'app@clients', iat: 'x' }],
    [
      'an unreadable auth_time beside a readable iat',
      { sub: 'auth0|123', iat: iatBeforeLogout, auth_time: 'x' },
    ],
    [
      'an unreadable iat of a token whose session has ended',
      { sub: 'auth0|123', [sessionClaim]: 'S1', iat: null },
    ],
  ])('the API rejects %s with 400', async (_case, claims) => {
    const response = await postCheck(claims)
    expect(response.statusCode).toBe(400)
    expect(response.json()).toMatchObject({ statusCode: 400, error: 'Bad Request' })
  })

  test.each([
    ['a body that is not JSON', 'application/json', '{', 400],
    ['an empty body', 'application/json', '', 400],
    ['another content type', 'text/plain', 'x', 415],
    ['a body of a megabyte', 'application/json', `"${'x'.repeat(1e6)}"`, 413],
  ])('the API rejects %s', async (_case, type, payload, statusCode) => {
    const headers = { ...bearer(keys.checker), 'content-type': type }
    const response = await app.inject({ method: 'POST', url: '/v1/check', headers, payload })
    expect(response.statusCode).toBe(statusCode)
    expect(response.json()).toEqual({
      statusCode,
      error: expect.any(String),
      message: expect.any(String),
    })
  })
})

describe('authentication', () => {
  const url = '/v1/users/x/last-logout'

  test.each([
    ['a request without a key', {}],
    ['an unknown key', { authorization: `Bearer ${'x'.repeat(32)}` }],
    ['half a key', { authorization: `Bearer ${keys.reader.key.slice(0, 16)}` }],
    ['another scheme', { authorization: keys.reader.key }],
  ])(
    'the API rejects %s with 401, and names the scheme in WWW-Authenticate',
    async (_case, headers) => {
      const response = await get(url, headers)
      expect(response.statusCode).toBe(401)
      expect(response.headers['www-authenticate']).toMatch(/^Bearer realm="last-logout"/)
      expect(response.json()).toEqual({
        statusCode: 401,
        error: 'Unauthorized',
        message: expect.any(String),
      })
    },
  )

  test('the API rejects a key without the role with 403, and names the role', async () => {
    const response = await get(url, bearer(keys.checker))
    expect(response.statusCode).toBe(403)
    expect(response.json()).toMatchObject({
      error: 'Forbidden',
      message: expect.stringContaining('read'),
    })
    expect((await postCheck({ sub: 'x' }, bearer(keys.logout))).statusCode).toBe(403)
  })

  test('the API accepts the scheme in any case', async () => {
    const response = await get(url, { authorization: `bearer ${keys.reader.key}` })
    expect(response.statusCode).toBe(200)
  })

  test.each([
    '/',
    '/nothing',
    '/v1',
    '/v1/users',
    '/openapi.json',
    '/docs',
    '/docs/',
    '/docs/json',
    '/metrics',
  ])('the API rejects a request to %s without a key (pitfall 32)', async (path) =>
    expect((await get(path, {})).statusCode).toBe(401),
  )

  test('the API responds with 404 to a path that does not exist, if the key is valid', async () => {
    const response = await get('/nothing')
    expect(response.json()).toEqual({
      statusCode: 404,
      error: 'Not Found',
      message: expect.any(String),
    })
  })

  test('the API requests Basic authentication at /docs, and accepts the key as the password', async () => {
    const responseWithoutKey = await get('/docs', {})
    expect(responseWithoutKey.headers['www-authenticate']).toMatch(/^Basic /)
    const credentials = Buffer.from(`me:${keys.reader.key}`).toString('base64')
    const pageResponse = await get('/docs/', { authorization: `Basic ${credentials}` })
    expect(pageResponse.statusCode).toBe(200)
    expect(pageResponse.body).toContain('swagger')
  })
})

test('/openapi.json describes all routes', async () => {
  const document = (await get('/openapi.json')).json()
  expect(document.openapi).toMatch(/^3\.1/)
  expect(Object.keys(document.paths).sort()).toEqual([
    '/health/fresh',
    '/health/live',
    '/health/ready',
    '/v1/changes',
    '/v1/check',
    '/v1/last-logout',
    '/v1/logouts',
    '/v1/users/{user_id}/last-logout',
    '/v1/users/{user_id}/logout',
  ])
  const { 400: badRequest } = document.paths['/v1/check'].post.responses
  expect(badRequest.description).toContain('the login claim cannot be read')
})

describe('while the database is unavailable', () => {
  test('the API responds with 503 and logs no user id, and /health/live responds with 200', async () => {
    const url = new URL(database.url)
    // No server listens on port 1.
    url.port = '1'
    const unavailableStore = await openStoreWithoutConnecting(url.href)
    const appWithoutDatabase = await openApi(unavailableStore)
    const response = await appWithoutDatabase.inject({
      url: '/v1/users/auth0%7Cperson/last-logout',
      headers: bearer(keys.reader),
    })
    expect(response.statusCode).toBe(503)
    expect(response.headers['retry-after']).toBe('1')
    expect(response.json()).toEqual({
      statusCode: 503,
      error: 'Service Unavailable',
      message: 'the database is unavailable: retry later',
    })
    expect((await appWithoutDatabase.inject('/health/ready')).json()).toMatchObject({
      status: 'database_unavailable',
    })
    expect((await appWithoutDatabase.inject('/health/ready')).statusCode).toBe(503)
    expect((await appWithoutDatabase.inject('/health/fresh')).statusCode).toBe(503)
    expect((await appWithoutDatabase.inject('/health/live')).statusCode).toBe(200)
    const errorLines = appWithoutDatabase.logLines
      .map((line) => JSON.parse(line))
      .filter(({ err }) => err)
    // The store logs the outage, so a failed request is logged at the level debug.
    expect(errorLines).toMatchObject([{ level: 20, msg: 'request failed' }])
    expect(appWithoutDatabase.logLines.join()).not.toContain('person')
    expect(appWithoutDatabase.logLines.join()).not.toContain(keys.reader.key)
    await Promise.all([appWithoutDatabase.close(), unavailableStore.close()])
  })
})

test('the API responds to an internal error with 500 and the request id, and only the log contains the error', async () => {
  const failingApp = await openApi({
    ...store,
    readKnownLogouts: async () => {
      throw new Error('secret detail')
    },
  })
  const response = await failingApp.inject({
    url: '/v1/users/x/last-logout',
    headers: bearer(keys.reader),
  })
  expect(response.statusCode).toBe(500)
  const [, id] = /^internal error: .* request id (req-\w+)$/.exec(response.json().message) ?? []
  expect(failingApp.logLines.map((line) => JSON.parse(line))).toMatchObject([{ reqId: id }])
  expect(response.body).not.toContain('secret detail')
  expect(failingApp.logLines.join()).toContain('secret detail')
  await failingApp.close()
})

test('the API responds with 400 to data that is not HTTP', async () => {
  const url = new URL(await listenOnLoopback(app))
  const socket = connect(Number(url.port), url.hostname)
  socket.end('NONSENSE\r\n\r\n')
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  expect(Buffer.concat(chunks).toString()).toMatch(/^HTTP\/1\.1 400 /)
})

/** Opens a store without connecting to the database. */
async function openStoreWithoutConnecting(url: string) {
  const { pino } = await import('pino')
  const { createDatabase } = await import('../../src/store/database.js')
  const { createLastLogoutStore } = await import('../../src/store/last-logout-store.js')
  const database = createDatabase(url, pino({ level: 'silent' }))
  const options = { database, domain: 'tenant.example', horizonMs: 1, now: Date.now }
  return { ...createLastLogoutStore(options), close: database.close }
}
