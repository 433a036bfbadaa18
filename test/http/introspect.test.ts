import { describe, expect, test } from 'vitest'
import { LastLogoutError } from '../../src/errors.js'
import { bearer } from '../_support/api.js'
import {
  gatewayKeys,
  loggedOutSnapshot,
  openGatewayApi,
  snapshotWith,
  staleSnapshot,
  useGatewayApi,
} from '../_support/gateway-api.js'
import { API_AUDIENCE, CLIENT_ID, nowSeconds } from '../_support/tenant-tokens.js'

const FORM = 'application/x-www-form-urlencoded'

const { tokens, api } = useGatewayApi()

const post = (payload: string, headers: Record<string, string> = bearer(gatewayKeys.introspect)) =>
  api.app.inject({
    method: 'POST',
    url: '/v1/introspect',
    headers: { 'content-type': FORM, ...headers },
    payload,
  })
const introspect = (token: string, headers?: Record<string, string>) =>
  post(`${new URLSearchParams({ token, token_type_hint: 'access_token' })}`, headers)

/** Expects the response `active: false`, without any other field. */
const expectInactive = async (token: string) => {
  const response = await introspect(token)
  expect(response.statusCode).toBe(200)
  expect(response.body).toBe('{"active":false}')
}

describe('POST /v1/introspect', () => {
  test('the API returns the claims of an active token, with an exp in at most ten seconds', async () => {
    const token = await tokens.signAccessToken({
      'https://app.example/tier': 'gold',
      permissions: ['read:orders'],
    })
    const response = await introspect(token)
    expect(response.statusCode).toBe(200)
    expect(response.headers).toMatchObject({ 'cache-control': 'no-store' })
    const body = response.json()
    expect(body).toEqual({
      active: true,
      iss: 'https://tenant.example/',
      sub: 'auth0|123',
      aud: API_AUDIENCE,
      azp: CLIENT_ID,
      client_id: CLIENT_ID,
      scope: 'read:orders',
      permissions: ['read:orders'],
      'https://app.example/tier': 'gold',
      iat: expect.any(Number),
      exp: expect.any(Number),
      token_type: 'Bearer',
    })
    expect(body.exp).toBeGreaterThan(nowSeconds())
    expect(body.exp).toBeLessThanOrEqual(nowSeconds() + 10)
  })

  test('the API returns the exp of the token if the token expires earlier than the limit', async () => {
    const exp = nowSeconds() + 5
    const response = await introspect(await tokens.signAccessToken({ exp }))
    expect(response.json()).toMatchObject({ active: true, exp })
  })

  test('the API returns the claim cnf of a token that is bound to a DPoP key', async () => {
    const cnf = { jkt: 'thumbprint' }
    const response = await introspect(await tokens.signAccessToken({ cnf }))
    expect(response.json()).toMatchObject({ active: true, token_type: 'DPoP', cnf })
  })

  test('the API returns active false for a revoked token, even if the token has a claim active', async () => {
    api.snapshot = loggedOutSnapshot()
    await expectInactive(await tokens.signAccessToken({ active: true }))
  })

  test('the API returns only active false for a revoked token, even if the data is stale', async () => {
    api.snapshot = loggedOutSnapshot()
    await expectInactive(await tokens.signAccessToken())
    api.snapshot = staleSnapshot(Date.now())
    await expectInactive(await tokens.signAccessToken())
  })

  test('the API returns active false for an invalid token, and reads no logouts', async () => {
    await expectInactive('x')
    await expectInactive(await tokens.signAccessToken({ exp: nowSeconds() - 1 }))
    await expectInactive(await tokens.signIdToken())
    await expectInactive(await tokens.signAccessToken({ aud: 'https://other' }))
    expect(api.reads).toEqual([])
  })

  test('the API reads the logouts of the session that the token names', async () => {
    await introspect(await tokens.signAccessToken({ 'https://last-logout/session_id': 'S1' }))
    await introspect(await tokens.signAccessToken())
    expect(api.reads).toEqual([
      ['auth0|123', 'S1'],
      ['auth0|123', null],
    ])
  })

  test('the API accepts only tokens for the audience of the key', async () => {
    const tokenForApi = await tokens.signAccessToken()
    const tokenForOtherApi = await tokens.signAccessToken({ aud: 'https://other' })
    const isActive = async (token: string) =>
      (await introspect(token, bearer(gatewayKeys.otherApi))).json().active
    expect(await isActive(tokenForApi)).toBe(false)
    expect(await isActive(tokenForOtherApi)).toBe(true)
  })

  test('the API returns active true for a machine token, even if the floor, which ends the tokens of all users, is later than its iat', async () => {
    api.snapshot = { ...staleSnapshot(), floorAt: Date.now() }
    const response = await introspect(await tokens.signAccessToken({ sub: 'worker@clients' }))
    expect(response.json()).toMatchObject({ active: true })
  })

  test.each([
    ['the data is stale', () => staleSnapshot()],
    ['the log has never been read to its end', () => ({ ...snapshotWith(), asOf: null })],
    ['the database is unavailable', () => new LastLogoutError('DATABASE_UNAVAILABLE', 'gone')],
  ])('the API responds with 503 and Retry-After if %s', async (_case, snapshot) => {
    api.snapshot = snapshot()
    const response = await introspect(await tokens.signAccessToken())
    expect(response.statusCode).toBe(503)
    expect(Number(response.headers['retry-after'])).toBeGreaterThan(0)
    expect(response.json()).toMatchObject({ statusCode: 503, message: expect.any(String) })
  })

  test('the API responds with 503 if the login of the token cannot be read', async () => {
    const token = await tokens.signAccessToken({
      'https://last-logout/authenticated_at': 'yesterday',
    })
    expect((await introspect(token)).statusCode).toBe(503)
  })

  test('the API responds with 503 if the signing key of the token may be newer than the known key set', async () => {
    await introspect(await tokens.signAccessToken())
    const response = await introspect(await tokens.signAccessToken({}, { kid: 'newer' }))
    expect(response.statusCode).toBe(503)
    expect(Number(response.headers['retry-after'])).toBeLessThanOrEqual(30)
  })

  test('the API accepts the key as the password of Basic authentication', async () => {
    const authorization = `Basic ${btoa(`client:${gatewayKeys.introspect.key}`)}`
    const response = await introspect(await tokens.signAccessToken(), { authorization })
    expect(response.json()).toMatchObject({ active: true })
  })

  test('the API requires a key with the role introspect', async () => {
    const token = await tokens.signAccessToken()
    expect((await introspect(token, {})).statusCode).toBe(401)
    const { reader, forwardAuth } = gatewayKeys
    expect((await introspect(token, bearer(reader))).statusCode).toBe(403)
    expect((await introspect(token, bearer(forwardAuth))).statusCode).toBe(403)
    // Only /v1/forward-auth accepts this header.
    const headers = { 'x-last-logout-key': gatewayKeys.introspect.key }
    expect((await introspect(token, headers)).statusCode).toBe(401)
  })

  test.each([
    ['no token', ''],
    ['an empty token', 'token='],
    ['two tokens', 'token=a&token=b'],
  ])('the API responds with 400 to a form with %s', async (_case, payload) => {
    expect((await post(payload)).statusCode).toBe(400)
  })

  test('the API responds with 415 to JSON', async () => {
    const response = await post('{"token":"x"}', {
      ...bearer(gatewayKeys.introspect),
      'content-type': 'application/json',
    })
    expect(response.statusCode).toBe(415)
  })
})

test('the routes for gateways do not exist without a verifier', async () => {
  const { app } = await openGatewayApi(tokens, { verifier: undefined })
  for (const url of ['/v1/introspect', '/v1/forward-auth', '/logout']) {
    const headers = bearer(gatewayKeys.reader)
    expect((await app.inject({ url, headers })).statusCode).toBe(404)
  }
  await app.close()
})
