import { connect } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import { fold } from '../../src/rules/fold.js'
import { bearer, keys, listenOnLoopback, openApi } from '../_support/api.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { CHECKPOINT, openTestStore } from '../_support/store.js'

const LOGOUT = 1_795_428_000_123
const NOW = LOGOUT + 300_000
const slo = { logId: CHECKPOINT, type: 'slo', at: LOGOUT, userId: 'auth0|123', sessionId: 'S1' }

let database: TestDatabase
/** The clock of the database. */
let now = NOW
let store: LastLogoutStore & { close(): Promise<void> }
let app: FastifyInstance & { lines: string[] }
beforeAll(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database, { now: () => now })
  const all = { ...slo, userId: 'auth0|all', sessionId: null }
  await store.storeBatch({ ...fold([slo, all]), unattributable: [] })
  await store.begin(CHECKPOINT, null)
  await store.storeCaughtUp(CHECKPOINT, NOW - 840)
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
const check = (claims: unknown, headers: Record<string, string> = bearer(keys.checker)) =>
  app.inject({ method: 'POST', url: '/v1/check', headers, payload: { claims } as object })

describe('GET /v1/users/{user_id}/last-logout', () => {
  const fresh = {
    floor_at: null,
    policy: 'session',
    as_of: '2026-11-23T10:04:59.283Z',
    lag_ms: 840,
    complete: true,
  }

  test('returns the last logout with its freshness (P6)', async () => {
    const response = await get('/v1/users/auth0%7C123/last-logout')
    expect(response.statusCode).toBe(200)
    expect(response.json()).toEqual({
      user_id: 'auth0|123',
      last_logout_at: '2026-11-23T10:00:00.123Z',
      last_logout: 1795428000.123,
      all_sessions_at: null,
      session: null,
      ...fresh,
    })
  })

  test('returns the requested session', async () => {
    const response = await get('/v1/users/auth0%7C123/last-logout?session_id=S1')
    expect(response.json().session).toEqual({
      session_id: 'S1',
      logout_at: '2026-11-23T10:00:00.123Z',
      ended: true,
    })
    const unknown = await get('/v1/users/auth0%7C123/last-logout?session_id=S2')
    expect(unknown.json().session).toEqual({ session_id: 'S2', logout_at: null, ended: false })
  })

  test('returns when all sessions were ended', async () => {
    const response = await get('/v1/users/auth0%7Call/last-logout')
    expect(response.json()).toMatchObject({ all_sessions_at: '2026-11-23T10:00:00.123Z' })
  })

  test('returns nulls for an unknown user', async () => {
    const response = await get('/v1/users/auth0%7Cunknown/last-logout')
    expect(response.statusCode).toBe(200)
    expect(response.json()).toEqual({
      user_id: 'auth0|unknown',
      last_logout_at: null,
      last_logout: null,
      all_sessions_at: null,
      session: null,
      ...fresh,
    })
  })

  test('returns neither freshness nor completeness before the first catch-up has ended', async () => {
    const empty = await createTestDatabase()
    const young = await openTestStore(empty)
    const early = await openApi(young)
    const response = await early.inject({
      url: '/v1/users/x/last-logout',
      headers: bearer(keys.reader),
    })
    expect(response.json()).toMatchObject({ as_of: null, lag_ms: null, complete: false })
    await Promise.all([early.close(), young.close()])
    await empty.drop()
  })

  test.each([
    ['a slash', 'a%2Fb', 'a/b'],
    ['letters beyond ASCII', 'auth0%7C%C3%A4%F0%9F%98%80', 'auth0|ä😀'],
    ['a percent sign', '100%25', '100%'],
    ['800 characters, all encoded', '%EF%BF%BD'.repeat(800), '\ufffd'.repeat(800)],
  ])('accepts an id with %s', async (_what, encoded, id) => {
    const response = await get(`/v1/users/${encoded}/last-logout`)
    expect(response.statusCode).toBe(200)
    expect(response.json().user_id).toBe(id)
  })

  test.each([
    ['malformed percent-encoding', '/v1/users/auth0%7/last-logout'],
    ['percent-encoding that is not UTF-8', '/v1/users/%ff/last-logout'],
    ['an over-long id', `/v1/users/${'x'.repeat(801)}/last-logout`],
    ['a very long id', `/v1/users/${'x'.repeat(9601)}/last-logout`],
    ['a NUL', '/v1/users/a%00b/last-logout'],
    ['a blank id', '/v1/users/%20/last-logout'],
    ['an empty id', '/v1/users//last-logout'],
    ['an over-long session id', `/v1/users/x/last-logout?session_id=${'x'.repeat(801)}`],
    ['an empty session id', '/v1/users/x/last-logout?session_id='],
    ['two session ids', '/v1/users/x/last-logout?session_id=a&session_id=b'],
  ])('rejects %s with 400', async (_what, url) => {
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
  const before = LOGOUT / 1000 - 60
  const session = 'https://last-logout/session_id'

  test('reads the claims of the requested namespace', async () => {
    const namespace = 'https://acme.example/'
    const claims = {
      sub: 'auth0|all',
      iat: LOGOUT / 1000 + 60,
      [`${namespace}authenticated_at`]: before,
    }
    const ask = (payload: object) =>
      app.inject({ method: 'POST', url: '/v1/check', headers: bearer(keys.checker), payload })
    expect((await ask({ claims, namespace })).json()).toMatchObject({ revoked: true })
    expect((await ask({ claims })).json()).toMatchObject({ reason: 'login_after_logout' })
  })

  test('reports a token from before the logout of its session as revoked', async () => {
    const response = await check({ sub: 'auth0|123', iat: Math.floor(before), [session]: 'S1' })
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
    ['of another session', { [session]: 'S2', iat: before }, false, 'no_logout'],
    ['without a session, from before the logout', { iat: before }, true, 'user_logout'],
    [
      'without a session, from after the logout',
      { iat: LOGOUT / 1000 + 1 },
      false,
      'login_after_logout',
    ],
    [
      'issued in the same second as the logout',
      { iat: Math.floor(LOGOUT / 1000) },
      true,
      'user_logout',
    ],
  ])('judges a token %s', async (_what, claims, revoked, reason) => {
    const response = await check({ sub: 'auth0|123', ...claims })
    expect(response.json()).toMatchObject({ revoked, reason })
  })

  test('names the claim that cannot be read, without its value', async () => {
    const claims = {
      sub: 'auth0|123',
      iat: before,
      'https://last-logout/authenticated_at': 'secret',
    }
    const { message } = (await check(claims)).json()
    expect(message).toContain(
      'body/claims/https://last-logout/authenticated_at must be a NumericDate',
    )
    expect(message).not.toContain('secret')
  })

  test('revokes a token without a login claim only if a logout covers it (R6)', async () => {
    const of = async (sub: string) => (await check({ sub })).json()
    expect(await of('auth0|123')).toMatchObject({ revoked: true, reason: 'login_unknown' })
    expect(await of('auth0|none')).toMatchObject({ revoked: false, reason: 'no_logout' })
  })

  test('reads a login claim that a gateway has converted to a string', async () => {
    const claims = { sub: 'auth0|123', iat: String(Math.floor(LOGOUT / 1000) + 1) }
    expect((await check(claims)).json()).toMatchObject({ reason: 'login_after_logout' })
  })

  test('applies the configured policy', async () => {
    const strict = await openApi({ ...store, policy: 'user' })
    const response = await strict.inject({
      method: 'POST',
      url: '/v1/check',
      headers: bearer(keys.checker),
      payload: { claims: { sub: 'auth0|123', iat: before, [session]: 'S2' } },
    })
    expect(response.json()).toMatchObject({ revoked: true, reason: 'user_logout' })
    await strict.close()
  })

  test.each([
    ['no claims', undefined],
    ['claims that are an encoded token', 'eyJ'],
    ['claims that are a list', []],
    ['no subject', {}],
    ['a numeric subject', { sub: 5 }],
    ['a subject that cannot be stored', { sub: 'a\0b' }],
    ['iat in milliseconds', { sub: 'auth0|123', iat: LOGOUT }],
    [
      'an invalid auth_time although iat is valid',
      { sub: 'auth0|123', iat: before, auth_time: 'x' },
    ],
    ['an invalid login in an ended session', { sub: 'auth0|123', [session]: 'S1', iat: null }],
  ])('rejects %s with 400', async (_what, claims) => {
    const response = await check(claims)
    expect(response.statusCode).toBe(400)
    expect(response.json()).toMatchObject({ statusCode: 400, error: 'Bad Request' })
  })

  test.each([
    ['a body that is not JSON', 'application/json', '{', 400],
    ['no body', 'application/json', '', 400],
    ['another content type', 'text/plain', 'x', 415],
    ['a body of a megabyte', 'application/json', `"${'x'.repeat(1e6)}"`, 413],
  ])('rejects %s', async (_what, type, payload, statusCode) => {
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
    ['no key', {}],
    ['an unknown key', { authorization: `Bearer ${'x'.repeat(32)}` }],
    ['half a key', { authorization: `Bearer ${keys.reader.key.slice(0, 16)}` }],
    ['another scheme', { authorization: keys.reader.key }],
  ])('rejects %s with 401 and the expected scheme', async (_what, headers) => {
    const response = await get(url, headers)
    expect(response.statusCode).toBe(401)
    expect(response.headers['www-authenticate']).toMatch(/^Bearer realm="last-logout"/)
    expect(response.json()).toEqual({
      statusCode: 401,
      error: 'Unauthorized',
      message: expect.any(String),
    })
  })

  test('rejects a key without the role with 403, which names the role', async () => {
    const response = await get(url, bearer(keys.checker))
    expect(response.statusCode).toBe(403)
    expect(response.json()).toMatchObject({
      error: 'Forbidden',
      message: expect.stringContaining('read'),
    })
    expect((await check({ sub: 'x' }, bearer(keys.logout))).statusCode).toBe(403)
  })

  test('accepts the scheme in any case', async () => {
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
  ])('rejects a request to %s without a key (P32)', async (path) =>
    expect((await get(path, {})).statusCode).toBe(401),
  )

  test('responds with 404 to a path that does not exist, if the key is valid', async () => {
    const response = await get('/nothing')
    expect(response.json()).toEqual({
      statusCode: 404,
      error: 'Not Found',
      message: expect.any(String),
    })
  })

  test('requests Basic authentication at /docs, and accepts the key as the password', async () => {
    const unauthorized = await get('/docs', {})
    expect(unauthorized.headers['www-authenticate']).toMatch(/^Basic /)
    const basic = Buffer.from(`me:${keys.reader.key}`).toString('base64')
    const page = await get('/docs/', { authorization: `Basic ${basic}` })
    expect(page.statusCode).toBe(200)
    expect(page.body).toContain('swagger')
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
  const { 400: refused } = document.paths['/v1/check'].post.responses
  expect(refused.description).toContain('the login claim cannot be read')
})

describe('while the database is unavailable', () => {
  test('responds with 503 without details, logs no user, and stays live', async () => {
    const url = new URL(database.url)
    url.port = '1'
    const closedStore = await openStoreUnclaimed(url.href)
    const blind = await openApi(closedStore)
    const response = await blind.inject({
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
    expect((await blind.inject('/health/ready')).json()).toMatchObject({
      status: 'database_unavailable',
    })
    expect((await blind.inject('/health/ready')).statusCode).toBe(503)
    expect((await blind.inject('/health/fresh')).statusCode).toBe(503)
    expect((await blind.inject('/health/live')).statusCode).toBe(200)
    const failed = blind.lines.map((line) => JSON.parse(line)).filter(({ err }) => err)
    // At debug: the store logs the outage once, for all requests.
    expect(failed).toMatchObject([{ level: 20, msg: 'request failed' }])
    expect(blind.lines.join()).not.toContain('person')
    expect(blind.lines.join()).not.toContain(keys.reader.key)
    await Promise.all([blind.close(), closedStore.close()])
  })
})

test('responds to an internal error with 500 and the request id, without the message of the error', async () => {
  const broken = await openApi({
    ...store,
    readKnown: async () => {
      throw new Error('secret detail')
    },
  })
  const response = await broken.inject({
    url: '/v1/users/x/last-logout',
    headers: bearer(keys.reader),
  })
  expect(response.statusCode).toBe(500)
  expect(response.json().message).toMatch(/^internal error: .* request id req-\w+$/)
  expect(response.body).not.toContain('secret detail')
  expect(broken.lines.join()).toContain('secret detail')
  await broken.close()
})

test('responds with 400 to data that is not HTTP, over a real socket', async () => {
  const url = new URL(await listenOnLoopback(app))
  const socket = connect(Number(url.port), url.hostname)
  socket.end('NONSENSE\r\n\r\n')
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  expect(Buffer.concat(chunks).toString()).toMatch(/^HTTP\/1\.1 400 /)
})

async function openStoreUnclaimed(url: string) {
  const { pino } = await import('pino')
  const { createDatabase } = await import('../../src/store/database.js')
  const { createLastLogoutStore } = await import('../../src/store/last-logout-store.js')
  const { prisma, close } = createDatabase(url, pino({ level: 'silent' }))
  const options = { prisma, domain: 'tenant.example', horizonMs: 1, now: Date.now }
  return { ...createLastLogoutStore(options), close }
}
