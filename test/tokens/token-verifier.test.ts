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

let t: TenantTokens
beforeAll(async () => {
  t = await openTenantTokens()
})
afterAll(() => t.close())

const verify = (token: string) => t.verifier.verifyAccessToken(token, API_AUDIENCE)
const verifyHint = (hint: string, clientId: string | null = null) =>
  t.verifier.verifyIdTokenHint(hint, clientId)
const valid = expect.objectContaining({ outcome: 'valid' })
const invalid = { outcome: 'invalid', reason: expect.stringMatching(/^the /) }

describe('verifyAccessToken', () => {
  test('accepts an access token of both profiles, and returns its claims', async () => {
    const verification = await verify(await t.signAccessToken())
    expect(verification).toMatchObject({ outcome: 'valid', claims: { sub: 'auth0|123' } })
    expect(await verify(await t.signAccessToken({ aud: [API_AUDIENCE, 'x'] }))).toEqual(valid)
    expect(await verify(await t.signAccessToken({}, { typ: 'at+jwt' }))).toEqual(valid)
    expect(await verify(await t.signAccessToken({ iss: TOKEN_ISSUER }))).toEqual(valid)
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
    expect(await verify(await t.signAccessToken(claims as JWTPayload))).toEqual(invalid)
  })

  test('rejects ID tokens, also one whose audience is that of the API', async () => {
    expect(await verify(await t.signIdToken())).toEqual(invalid)
    expect(await verify(await t.signIdToken({ aud: API_AUDIENCE }))).toEqual(invalid)
  })

  test.each(['', 'x', 'a.b.c', '..', 'e30.e30.e30', `${'x'.repeat(100_000)}.y.z`])(
    'rejects the text %#',
    async (text) => {
      expect(await verify(text)).toEqual(invalid)
    },
  )

  test('rejects a token whose payload was changed', async () => {
    const [head, , signature] = (await t.signAccessToken()).split('.')
    const claims = { iss: TOKEN_ISSUER, aud: API_AUDIENCE, sub: 'auth0|admin', azp: 'c' }
    const payload = Buffer.from(JSON.stringify(claims)).toString('base64url')
    expect(await verify(`${head}.${payload}.${signature}`)).toEqual(invalid)
  })

  test('rejects a token without a signature, and one that is signed with the public key as a secret', async () => {
    const [, payload] = (await t.signAccessToken()).split('.')
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    expect(await verify(`${encode({ alg: 'none', typ: 'JWT' })}.${payload}.`)).toEqual(invalid)
    const signed = `${encode({ alg: 'HS256', kid: 'one' })}.${payload}`
    const secret = JSON.stringify(t.keySet.keys[0])
    const signature = createHmac('sha256', secret).update(signed).digest('base64url')
    expect(await verify(`${signed}.${signature}`)).toEqual(invalid)
  })

  test('takes no key from the header of a token', async () => {
    const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true })
    const jwk = await exportJWK(publicKey)
    const requests = t.keySet.requests
    const token = await new SignJWT({ ...forged() })
      .setProtectedHeader({ alg: 'RS256', kid: 'one', jwk, jku: t.keySet.url, typ: 'JWT' })
      .sign(privateKey)
    expect(await verify(token)).toEqual(invalid)
    expect(t.keySet.requests).toBe(requests)
  })

  test('is unknown for a token whose key may be newer than the key set', async () => {
    await verify(await t.signAccessToken())
    const token = await t.signAccessToken({}, { kid: 'newer' })
    expect(await verify(token)).toEqual({
      outcome: 'unknown',
      retryAfterMs: expect.any(Number),
    })
  })
})

const forged = () => ({
  iss: `${TOKEN_ISSUER}/`,
  aud: API_AUDIENCE,
  azp: CLIENT_ID,
  sub: 'auth0|admin',
  iat: nowSeconds(),
  exp: nowSeconds() + 60,
})

describe('verifyIdTokenHint', () => {
  test('accepts an ID token, also an expired one', async () => {
    expect(await verifyHint(await t.signIdToken())).toEqual(valid)
    const expired = await t.signIdToken({ exp: nowSeconds() - 3600 })
    expect(await verifyHint(expired)).toEqual(valid)
  })

  test('accepts an ID token of the given client only', async () => {
    const hint = await t.signIdToken()
    expect(await verifyHint(hint, CLIENT_ID)).toEqual(valid)
    expect(await verifyHint(hint, 'another')).toEqual(invalid)
  })

  test.each([
    ['expired longer ago than any token lives', { exp: nowSeconds() - 2 * 86_400 }],
    ['another issuer', { iss: 'https://other.example/' }],
    ['the audience of an API', { aud: API_AUDIENCE }],
    ['no sub', { sub: undefined }],
    ['events, which make it a logout token', { events: {}, nonce: undefined }],
  ])('rejects an ID token with %s', async (_what, claims) => {
    expect(await verifyHint(await t.signIdToken(claims as JWTPayload))).toEqual(invalid)
  })

  test('rejects access tokens', async () => {
    expect(await verifyHint(await t.signAccessToken())).toEqual(invalid)
    const ofAnotherApi = await t.signAccessToken({ aud: 'https://other.example', scope: undefined })
    expect(await verifyHint(ofAnotherApi)).toEqual(invalid)
    expect(await verifyHint(await t.signIdToken({}, { typ: 'at+jwt' }))).toEqual(invalid)
  })
})
