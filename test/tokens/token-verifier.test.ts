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
const valid = expect.objectContaining({ outcome: 'valid' })
const invalid = { outcome: 'invalid', reason: expect.stringMatching(/^the /) }

describe('verifyAccessToken', () => {
  test('accepts an access token of both profiles, and returns its claims', async () => {
    const verification = await verify(await tenantTokens.signAccessToken())
    expect(verification).toMatchObject({ outcome: 'valid', claims: { sub: 'auth0|123' } })
    expect(await verify(await tenantTokens.signAccessToken({ aud: [API_AUDIENCE, 'x'] }))).toEqual(
      valid,
    )
    expect(await verify(await tenantTokens.signAccessToken({}, { typ: 'at+jwt' }))).toEqual(valid)
    expect(await verify(await tenantTokens.signAccessToken({ iss: TOKEN_ISSUER }))).toEqual(valid)
  })

  test.each([
    ['another issuer', { iss: 'https://other.example/' }],
    ['no issuer', { iss: undefined }],
    ['another audience', { aud: 'https://other.example' }],
    ['no audience', { aud: undefined }],
    ['an audience that contains the required one', { aud: `${API_AUDIENCE}/admin` }],
    ['an exp in the past', { exp: nowSeconds() - 1 }],
    ['no exp', { exp: undefined }],
    ['no iat', { iat: undefined }],
    ['no sub', { sub: undefined }],
    ['an nbf in the future', { nbf: nowSeconds() + 600 }],
    ['the nonce of an ID token', { nonce: 'n' }],
  ])('rejects a token with %s', async (_what, claims) => {
    expect(await verify(await tenantTokens.signAccessToken(claims as JWTPayload))).toEqual(invalid)
  })

  test('rejects ID tokens, also one whose audience is that of the API', async () => {
    expect(await verify(await tenantTokens.signIdToken())).toEqual(invalid)
    expect(await verify(await tenantTokens.signIdToken({ aud: API_AUDIENCE }))).toEqual(invalid)
  })

  test.each(['', 'x', 'a.b.c', '..', 'e30.e30.e30', `${'x'.repeat(100_000)}.y.z`])(
    'rejects the text %#',
    async (text) => {
      expect(await verify(text)).toEqual(invalid)
    },
  )

  test('rejects a token whose payload was changed', async () => {
    const [head, , signature] = (await tenantTokens.signAccessToken()).split('.')
    const claims = { iss: TOKEN_ISSUER, aud: API_AUDIENCE, sub: 'auth0|admin', azp: 'c' }
    const payload = Buffer.from(JSON.stringify(claims)).toString('base64url')
    expect(await verify(`${head}.${payload}.${signature}`)).toEqual(invalid)
  })

  test('rejects a token without a signature, and a token that is signed with the public key as a secret', async () => {
    const [, payload] = (await tenantTokens.signAccessToken()).split('.')
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    expect(await verify(`${encode({ alg: 'none', typ: 'JWT' })}.${payload}.`)).toEqual(invalid)
    const signed = `${encode({ alg: 'HS256', kid: 'one' })}.${payload}`
    const secret = JSON.stringify(tenantTokens.keySet.keys[0])
    const signature = createHmac('sha256', secret).update(signed).digest('base64url')
    expect(await verify(`${signed}.${signature}`)).toEqual(invalid)
  })

  test('takes no key from the header of a token', async () => {
    const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true })
    const jwk = await exportJWK(publicKey)
    const requests = tenantTokens.keySet.requestCount
    const token = await new SignJWT({ ...buildForgedClaims() })
      .setProtectedHeader({
        alg: 'RS256',
        kid: 'one',
        jwk,
        jku: tenantTokens.keySet.url,
        typ: 'JWT',
      })
      .sign(privateKey)
    expect(await verify(token)).toEqual(invalid)
    expect(tenantTokens.keySet.requestCount).toBe(requests)
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

const buildForgedClaims = () => ({
  iss: `${TOKEN_ISSUER}/`,
  aud: API_AUDIENCE,
  azp: CLIENT_ID,
  sub: 'auth0|admin',
  iat: nowSeconds(),
  exp: nowSeconds() + 60,
})

describe('verifyIdTokenHint', () => {
  test('accepts an ID token, even after its expiry', async () => {
    expect(await verifyHint(await tenantTokens.signIdToken())).toEqual(valid)
    const expired = await tenantTokens.signIdToken({ exp: nowSeconds() - 3600 })
    expect(await verifyHint(expired)).toEqual(valid)
  })

  test('accepts an ID token of the given client only', async () => {
    const hint = await tenantTokens.signIdToken()
    expect(await verifyHint(hint, CLIENT_ID)).toEqual(valid)
    expect(await verifyHint(hint, 'another')).toEqual(invalid)
  })

  test.each([
    ['an expiry before the maximum age of a hint', { exp: nowSeconds() - 2 * 86_400 }],
    ['another issuer', { iss: 'https://other.example/' }],
    ['the audience of an API', { aud: API_AUDIENCE }],
    ['no sub', { sub: undefined }],
    ['events, which make it a logout token', { events: {}, nonce: undefined }],
  ])('rejects an ID token with %s', async (_what, claims) => {
    expect(await verifyHint(await tenantTokens.signIdToken(claims as JWTPayload))).toEqual(invalid)
  })

  test('rejects access tokens', async () => {
    expect(await verifyHint(await tenantTokens.signAccessToken())).toEqual(invalid)
    const tokenOfAnotherApi = await tenantTokens.signAccessToken({
      aud: 'https://other.example',
      scope: undefined,
    })
    expect(await verifyHint(tokenOfAnotherApi)).toEqual(invalid)
    expect(await verifyHint(await tenantTokens.signIdToken({}, { typ: 'at+jwt' }))).toEqual(invalid)
  })
})
