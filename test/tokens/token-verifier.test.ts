import { createHmac } from 'node:crypto'
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  API_AUDIENCE,
  CLIENT_ID,
  nowSeconds,
  openTenantTokens,
  type TenantTokens,
  TOKEN_ISSUER,
} from '../_support/tenant-tokens.js'

let tenantTokens: TenantTokens
beforeAll(async () => {
  tenantTokens = await openTenantTokens()
})
afterAll(() => tenantTokens.close())

const verify = (token: string) => tenantTokens.verifier.verifyAccessToken(token, API_AUDIENCE)
const verifyHint = (hint: string, clientId: string | null = null) =>
  tenantTokens.verifier.verifyIdTokenHint(hint, clientId)
const anyValidResult = expect.objectContaining({ outcome: 'valid' })
const anyInvalidResult = { outcome: 'invalid', reason: expect.stringMatching(/^the /) }

describe('verifyAccessToken', () => {
  test('accepts access tokens of both profiles (typ JWT and at+jwt), and returns their claims', async () => {
    const verification = await verify(await tenantTokens.signAccessToken())
    expect(verification).toMatchObject({ outcome: 'valid', claims: { sub: 'auth0|123' } })
    expect(await verify(await tenantTokens.signAccessToken({ aud: [API_AUDIENCE, 'x'] }))).toEqual(
      anyValidResult,
    )
    expect(await verify(await tenantTokens.signAccessToken({}, { typ: 'at+jwt' }))).toEqual(
      anyValidResult,
    )
    expect(await verify(await tenantTokens.signAccessToken({ iss: TOKEN_ISSUER }))).toEqual(
      anyValidResult,
    )
  })

  test.each([
    ['another issuer', { iss: 'https://other.example/' }],
    ['no issuer', { iss: undefined }],
    ['another audience', { aud: 'https://other.example' }],
    ['no audience', { aud: undefined }],
    ['an audience that begins with the required audience', { aud: `${API_AUDIENCE}/admin` }],
    ['an exp in the past', { exp: nowSeconds() - 1 }],
    ['no exp', { exp: undefined }],
    ['no iat', { iat: undefined }],
    ['no sub', { sub: undefined }],
    ['an nbf in the future', { nbf: nowSeconds() + 600 }],
    ['the nonce of an ID token', { nonce: 'n' }],
  ])('rejects a token with %s', async (_what, claims) => {
    expect(await verify(await tenantTokens.signAccessToken(claims as JWTPayload))).toEqual(
      anyInvalidResult,
    )
  })

  test('rejects ID tokens, even if their audience is the API', async () => {
    expect(await verify(await tenantTokens.signIdToken())).toEqual(anyInvalidResult)
    expect(await verify(await tenantTokens.signIdToken({ aud: API_AUDIENCE }))).toEqual(
      anyInvalidResult,
    )
  })

  // `e30` is `{}` in base64url.
  test.each(['', 'x', 'a.b.c', '..', 'e30.e30.e30', `${'x'.repeat(100_000)}.y.z`])(
    'rejects text that is not a token (%#)',
    async (text) => {
      expect(await verify(text)).toEqual(anyInvalidResult)
    },
  )

  test('rejects a token whose payload was changed', async () => {
    const [header, , signature] = (await tenantTokens.signAccessToken()).split('.')
    const claims = { iss: TOKEN_ISSUER, aud: API_AUDIENCE, sub: 'auth0|admin', azp: 'c' }
    const payload = Buffer.from(JSON.stringify(claims)).toString('base64url')
    expect(await verify(`${header}.${payload}.${signature}`)).toEqual(anyInvalidResult)
  })

  test('rejects a token without a signature, and a token that is signed with the public key as a secret', async () => {
    const [, payload] = (await tenantTokens.signAccessToken()).split('.')
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    expect(await verify(`${encode({ alg: 'none', typ: 'JWT' })}.${payload}.`)).toEqual(
      anyInvalidResult,
    )
    const signedText = `${encode({ alg: 'HS256', kid: 'one' })}.${payload}`
    const secret = JSON.stringify(tenantTokens.keySet.keys[0])
    const signature = createHmac('sha256', secret).update(signedText).digest('base64url')
    expect(await verify(`${signedText}.${signature}`)).toEqual(anyInvalidResult)
  })

  test('uses no key that the header of a token contains (jwk) or links to (jku)', async () => {
    const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true })
    const jwk = await exportJWK(publicKey)
    const requestCountBefore = tenantTokens.keySet.requestCount
    const token = await new SignJWT({ ...buildForgedClaims() })
      .setProtectedHeader({
        alg: 'RS256',
        kid: 'one',
        jwk,
        jku: tenantTokens.keySet.url,
        typ: 'JWT',
      })
      .sign(privateKey)
    expect(await verify(token)).toEqual(anyInvalidResult)
    expect(tenantTokens.keySet.requestCount).toBe(requestCountBefore)
  })

  test('returns unknown for a token whose key may be newer than the key set', async () => {
    await verify(await tenantTokens.signAccessToken())
    const token = await tenantTokens.signAccessToken({}, { kid: 'newer' })
    expect(await verify(token)).toEqual({
      outcome: 'unknown',
      retryAfterMs: expect.any(Number),
    })
  })
})

/** Builds claims that would be valid if the tenant had signed them. */
const buildForgedClaims = () => ({
  iss: `${TOKEN_ISSUER}/`,
  aud: API_AUDIENCE,
  azp: CLIENT_ID,
  sub: 'auth0|admin',
  iat: nowSeconds(),
  exp: nowSeconds() + 60,
})

/** A hint is the ID token that an application sends with a logout. */
describe('verifyIdTokenHint', () => {
  test('accepts an ID token, even after its expiry', async () => {
    expect(await verifyHint(await tenantTokens.signIdToken())).toEqual(anyValidResult)
    const expired = await tenantTokens.signIdToken({ exp: nowSeconds() - 3600 })
    expect(await verifyHint(expired)).toEqual(anyValidResult)
  })

  test('accepts an ID token if it was issued to the given client, and rejects it otherwise', async () => {
    const hint = await tenantTokens.signIdToken()
    expect(await verifyHint(hint, CLIENT_ID)).toEqual(anyValidResult)
    expect(await verifyHint(hint, 'another')).toEqual(anyInvalidResult)
  })

  test.each([
    ['an expiry before the maximum age of a hint', { exp: nowSeconds() - 2 * 86_400 }],
    ['another issuer', { iss: 'https://other.example/' }],
    ['the audience of an API', { aud: API_AUDIENCE }],
    ['no sub', { sub: undefined }],
    ['events, which make it a logout token', { events: {}, nonce: undefined }],
  ])('rejects an ID token with %s', async (_what, claims) => {
    expect(await verifyHint(await tenantTokens.signIdToken(claims as JWTPayload))).toEqual(
      anyInvalidResult,
    )
  })

  test('rejects access tokens', async () => {
    expect(await verifyHint(await tenantTokens.signAccessToken())).toEqual(anyInvalidResult)
    const tokenOfAnotherApi = await tenantTokens.signAccessToken({
      aud: 'https://other.example',
      scope: undefined,
    })
    expect(await verifyHint(tokenOfAnotherApi)).toEqual(anyInvalidResult)
    expect(await verifyHint(await tenantTokens.signIdToken({}, { typ: 'at+jwt' }))).toEqual(
      anyInvalidResult,
    )
  })
})
