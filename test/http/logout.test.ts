import type { FastifyInstance } from 'fastify'
import { SignJWT } from 'jose'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { AppDeps } from '../../src/http/app.js'
import { bearer, keys, openApi } from '../_support/api.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openTestStore } from '../_support/store.js'
import {
  API_AUDIENCE,
  CLIENT_ID,
  nowSeconds,
  openTenantTokens,
  type TenantTokens,
  TOKEN_ISSUER,
} from '../_support/tenant-tokens.js'

const LOGOUT_URL = `${TOKEN_ISSUER}/oidc/logout`
const FORM = { 'content-type': 'application/x-www-form-urlencoded' }

let tokens: TenantTokens
let database: TestDatabase
let store: Awaited<ReturnType<typeof openTestStore>>
/** The clock of the database. */
let now = Date.parse('2026-11-23T10:00:00.123Z')
let app: FastifyInstance & { logLines: string[] }
beforeAll(async () => {
  tokens = await openTenantTokens()
  database = await createTestDatabase()
  store = await openTestStore(database, { now: () => now })
  app = await openLogoutApi()
})
afterAll(async () => {
  await app.close()
  await store.close()
  await database.drop()
  await tokens.close()
})
/** Every test has its own user and session. */
let user = ''
const sessionId = () => `session of ${user}`
beforeEach(() => {
  user = `auth0|${Math.random()}`
  now += 1_000
})
/** The APIs that a test has opened. */
const otherApis: FastifyInstance[] = []
afterEach(async () => {
  for (const api of otherApis.splice(0)) await api.close()
})

const openLogoutApi = (deps: Partial<AppDeps> = {}) =>
  openApi({
    ...store,
    verifier: tokens.verifier,
    logoutIssuers: [TOKEN_ISSUER],
    ...deps,
  })
/** Opens an API with other dependencies. The API is closed after the test. */
const openOtherApi = async (deps: Partial<AppDeps>) => {
  const api = await openLogoutApi(deps)
  otherApis.push(api)
  return api
}

/** Signs a hint: an ID token of the user and the session of the test, which an app sends as `id_token_hint`. */
const signHint = (claims: object = {}) =>
  tokens.signIdToken({ sub: user, sid: sessionId(), ...claims })
const createParameters = (hint: string) => ({
  id_token_hint: hint,
  client_id: CLIENT_ID,
  post_logout_redirect_uri: 'https://app.example/?a=b&c=ä',
  state: 'x y',
})
const get = (
  parameters: Record<string, string> | URLSearchParams | string,
  remoteAddress = '192.0.2.1',
) => app.inject({ url: `/logout?${new URLSearchParams(parameters)}`, remoteAddress })
const post = (body: string, headers: Record<string, string> = FORM) =>
  app.inject({ method: 'POST', url: '/logout', headers, payload: body })

/** Reads the stored logouts of the user and the session of the test. */
const readStored = async () => {
  const { user: userLogout, session } = await store.readKnownLogouts(user, sessionId())
  return { user: userLogout, session }
}
const NO_LOGOUT = { user: null, session: null }

/** Expects that the response redirects to the tenant with the parameters. */
const expectRedirect = (
  { statusCode, headers }: Awaited<ReturnType<typeof get>>,
  parameters: Record<string, string> | URLSearchParams,
  logoutUrl = LOGOUT_URL,
) => {
  expect(statusCode).toBe(303)
  const location = String(headers.location)
  expect(location.startsWith(`${logoutUrl}?`)).toBe(true)
  expect([...new URL(location).searchParams]).toEqual([...new URLSearchParams(parameters)])
  // Without this header, an app that opens /logout in another window can still close that window.
  expect(headers).not.toHaveProperty('cross-origin-opener-policy')
  expect(headers).toMatchObject({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' })
}

describe.each(['GET', 'POST'])('%s /logout', (method) => {
  const send = (parameters: Record<string, string>) =>
    method === 'GET' ? get(parameters) : post(`${new URLSearchParams(parameters)}`)

  test('/logout stores the logout of the session in the hint, and redirects with the same parameters', async () => {
    const parameters = createParameters(await signHint())
    expectRedirect(await send(parameters), parameters)
    const type = 'reported_logout'
    expect(await readStored()).toEqual({
      user: { at: now, allSessionsAt: null, logId: '', type },
      session: { at: now, ended: false, logId: '', type },
    })
  })

  test('/logout accepts an expired hint', async () => {
    const parameters = { id_token_hint: await signHint({ exp: nowSeconds() - 3_600 }) }
    expectRedirect(await send(parameters), parameters)
    expect(await readStored()).toMatchObject({ session: { at: now } })
  })

  test.each<[string, () => Promise<Record<string, string>>]>([
    ['a request without a hint', async () => ({ client_id: CLIENT_ID })],
    ['a request without parameters', async () => ({})],
    ['a hint that is not a token', async () => ({ id_token_hint: 'x' })],
    [
      'an access token',
      async () => ({ id_token_hint: await tokens.signAccessToken({ sub: user }) }),
    ],
    [
      'a hint of another issuer',
      async () => ({ id_token_hint: await signHint({ iss: 'https://x' }) }),
    ],
    ['a hint for an API', async () => ({ id_token_hint: await signHint({ aud: API_AUDIENCE }) })],
    [
      'a hint that is older than any valid token',
      async () => ({ id_token_hint: await signHint({ exp: nowSeconds() - 2 * 86_400 }) }),
    ],
    [
      'a hint without a session',
      async () => ({ id_token_hint: await signHint({ sid: undefined }) }),
    ],
    [
      'a hint of another client',
      async () => ({ id_token_hint: await signHint(), client_id: 'another' }),
    ],
  ])('/logout stores nothing for %s, but redirects', async (_case, createInvalidParameters) => {
    const parameters = await createInvalidParameters()
    expectRedirect(await send(parameters), parameters)
    expect(await readStored()).toEqual(NO_LOGOUT)
  })
})

describe('/logout', () => {
  test('/logout stores nothing if there are two hints, and redirects with both', async () => {
    const hint = await signHint()
    const parameters = new URLSearchParams([
      ['id_token_hint', hint],
      ['id_token_hint', hint],
    ])
    expectRedirect(await get(parameters), parameters)
    expect(await readStored()).toEqual(NO_LOGOUT)
  })

  test.each([
    'post_logout_redirect_uri=%zz&state=%00%ff',
    'x=%0d%0aset-cookie:%20a=b',
    '//evil.example',
    'a&b&&=c',
  ])('/logout redirects to the tenant with the parameters %s', async (query) => {
    const response = await app.inject({ url: `/logout?${query}` })
    expect(response.statusCode).toBe(303)
    expect(new URL(String(response.headers.location)).origin).toBe(TOKEN_ISSUER)
    expect(response.headers).not.toHaveProperty('set-cookie')
  })

  test('/logout accepts parameters in both a form and the query', async () => {
    const response = await app.inject({
      method: 'POST',
      url: '/logout?federated=',
      headers: FORM,
      payload: `id_token_hint=${await signHint()}`,
    })
    expect(response.statusCode).toBe(303)
    expect(await readStored()).toMatchObject({ session: { at: now } })
    expect(response.headers.location).toMatch(/\?federated=&id_token_hint=/)
  })

  test.each([
    '',
    'form',
    'application/json, text/plain',
    'text/plain',
    `${FORM['content-type']};x`,
  ])('/logout reads a form of the content type "%s"', async (type) => {
    const parameters = { id_token_hint: await signHint() }
    const response = await post(`${new URLSearchParams(parameters)}`, { 'content-type': type })
    expectRedirect(response, parameters)
    expect(await readStored()).toMatchObject({ session: { at: now } })
  })

  test.each(['application/json', 'text/plain', 'multipart/form-data', 'json', ''])(
    '/logout redirects a request of the content type "%s" that is not a form',
    async (type) => {
      expect((await post('{', { 'content-type': type })).statusCode).toBe(303)
    },
  )

  test('/logout stores nothing for a HEAD request', async () => {
    const url = `/logout?id_token_hint=${await signHint()}`
    const headers = bearer(keys.reader)
    expect((await app.inject({ method: 'HEAD', url, headers })).statusCode).toBe(404)
    expect(await readStored()).toEqual(NO_LOGOUT)
  })

  describe('with two issuers', () => {
    const CUSTOM_ISSUER = 'https://login.example.com'
    let customTokens: TenantTokens
    beforeEach(async () => {
      customTokens = await openTenantTokens(CUSTOM_ISSUER)
    })
    afterEach(() => customTokens.close())

    const signCustomHint = (claims: object = {}) =>
      customTokens.signIdToken({ sub: user, sid: sessionId(), ...claims })
    const expectRedirectTo = async (
      issuer: string,
      parameters: Record<string, string>,
      deps: Partial<AppDeps> = {},
    ) => {
      const logoutIssuers = [TOKEN_ISSUER, CUSTOM_ISSUER]
      const api = await openOtherApi({ verifier: customTokens.verifier, logoutIssuers, ...deps })
      const response = await api.inject({ url: `/logout?${new URLSearchParams(parameters)}` })
      expectRedirect(response, parameters, `${issuer}/oidc/logout`)
    }

    test('/logout redirects to the domain of the issuer of a valid hint', async () => {
      const iss = CUSTOM_ISSUER
      await expectRedirectTo(iss, { id_token_hint: await signCustomHint() })
      await expectRedirectTo(iss, { id_token_hint: await signCustomHint({ iss }) })
      expect(await readStored()).toMatchObject({ session: { at: now } })
    })

    test.each<[string, () => Promise<Record<string, string>>]>([
      [
        'while the keys are unavailable',
        async () => {
          customTokens.keySet.response = { status: 500, body: '' }
          return { id_token_hint: await signCustomHint() }
        },
      ],
      [
        'while the keys do not arrive',
        async () => {
          customTokens.keySet.response = null
          return { id_token_hint: await signCustomHint() }
        },
      ],
      [
        'if the hint is signed with HS256',
        async () => {
          const claims = { iss: `${CUSTOM_ISSUER}/`, sub: user, sid: sessionId(), aud: CLIENT_ID }
          const jwt = new SignJWT(claims).setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
          return { id_token_hint: await jwt.sign(Buffer.alloc(32)) }
        },
      ],
      [
        'if the hint is too old',
        async () => ({ id_token_hint: await signCustomHint({ exp: nowSeconds() - 2 * 86_400 }) }),
      ],
      [
        'if the hint is of another client',
        async () => ({ id_token_hint: await signCustomHint(), client_id: 'another' }),
      ],
    ])(
      '/logout redirects to the domain that an invalid hint names %s, and stores nothing',
      async (_case, createParameters) => {
        await expectRedirectTo(CUSTOM_ISSUER, await createParameters(), { logoutTimeoutMs: 20 })
        expect(await readStored()).toEqual(NO_LOGOUT)
      },
    )

    const encode = (claims: unknown) => Buffer.from(JSON.stringify(claims)).toString('base64url')
    test.each<[string, Record<string, string>]>([
      ['has no hint', { state: 'x' }],
      ['has a hint that is not a token', { id_token_hint: 'x' }],
      ['has a hint that is not JSON', { id_token_hint: 'a.b.c' }],
      ['has a hint without claims', { id_token_hint: `a.${encode(null)}.c` }],
      ['has a hint without an issuer', { id_token_hint: `a.${encode({})}.c` }],
      ...[
        'https://evil.example',
        `${CUSTOM_ISSUER}.evil.example/`,
        `${CUSTOM_ISSUER}/x`,
        `${CUSTOM_ISSUER}//`,
        `${CUSTOM_ISSUER}@evil.example`,
        'HTTPS://LOGIN.EXAMPLE.COM',
        { toString: 1 },
      ].map((iss): [string, Record<string, string>] => [
        `has a hint of the issuer ${JSON.stringify(iss)}`,
        { id_token_hint: `a.${encode({ iss })}.c` },
      ]),
    ])('/logout redirects to the first issuer if a request %s', async (_case, parameters) => {
      await expectRedirectTo(TOKEN_ISSUER, parameters)
    })
  })

  test.each<[string, Partial<AppDeps>]>([
    ['the store does not respond', { storeReported: () => new Promise(() => {}) }],
    [
      'the store fails',
      {
        storeReported: async () => {
          throw new Error('a bug')
        },
      },
    ],
    [
      'the keys do not arrive',
      { verifier: { verifyIdTokenHint: () => new Promise(() => {}) } as never },
    ],
    [
      'the verification fails',
      {
        verifier: {
          verifyIdTokenHint: async () => {
            throw new Error('a bug')
          },
        } as never,
      },
    ],
    [
      'it is unknown whether the hint is valid',
      { verifier: { verifyIdTokenHint: async () => ({ outcome: 'unknown' }) } as never },
    ],
  ])('/logout redirects within its timeout if %s, and logs this once', async (_case, deps) => {
    const api = await openOtherApi({ ...deps, logoutTimeoutMs: 20 })
    const parameters = { id_token_hint: await signHint() }
    for (let n = 0; n < 3; n++) {
      const url = `/logout?${new URLSearchParams(parameters)}`
      expectRedirect(await api.inject({ url }), parameters)
    }
    const warnings = api.logLines.filter((line) => line.includes('logout redirected without'))
    expect(warnings).toHaveLength(1)
    expect(api.logLines.join('')).not.toContain(parameters.id_token_hint)
  })
})

describe('the limits of /logout', () => {
  test('many invalid hints from one address are logged once, and a valid hint is still accepted', async () => {
    // More than twenty a minute are too many.
    for (let n = 0; n < 25; n++) {
      expect((await get({ id_token_hint: 'x' }, '192.0.2.7')).statusCode).toBe(303)
    }
    const warnings = app.logLines.filter((line) => line.includes('too many invalid logout hints'))
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain('192.0.2.7')
    await get({ id_token_hint: await signHint() }, '192.0.2.7')
    expect(await readStored()).toMatchObject({ session: { at: now } })
  })

  test('invalid hints do not count as wrong keys', async () => {
    const address = '192.0.2.8'
    for (let n = 0; n < 25; n++) await get({ id_token_hint: 'x' }, address)
    const headers = { authorization: `Bearer ${'w'.repeat(32)}` }
    const response = await app.inject({ url: '/v1/last-logout', headers, remoteAddress: address })
    // After too many wrong keys, the status would be 429.
    expect(response.statusCode).toBe(401)
  })

  test('a repeated hint is stored at most twenty times a minute', async () => {
    let reportCount = 0
    const api = await openOtherApi({
      async storeReported() {
        reportCount++
        return now
      },
    })
    const url = `/logout?id_token_hint=${await signHint()}`
    for (let n = 0; n < 30; n++) expect((await api.inject({ url })).statusCode).toBe(303)
    expect(reportCount).toBe(20)
    await api.inject({ url: `/logout?id_token_hint=${await signHint({ sid: 'another' })}` })
    expect(reportCount).toBe(21)
  })
})

test('/logout does not exist unless it is enabled', async () => {
  const api = await openOtherApi({ logoutIssuers: undefined })
  expect((await api.inject({ url: '/logout' })).statusCode).toBe(401)
  const headers = bearer(keys.reader)
  expect((await api.inject({ url: '/logout', headers })).statusCode).toBe(404)
})
