import { describe, expect, test } from 'vitest'
import { isAccessToken, isIdToken } from '../../src/rules/token-kind.js'

const API = 'https://orders.example.com'
const CLIENT = 'SinglePageApp'

const accessTokens: [string, unknown, Record<string, unknown>][] = [
  ['the default profile', 'JWT', { aud: API, azp: CLIENT, scope: 'openid' }],
  ['the default profile without a scope', 'JWT', { aud: API, azp: CLIENT }],
  ['two audiences', 'JWT', { aud: [API, 'https://tenant.example/userinfo'], azp: CLIENT }],
  ['the RFC 9068 profile', 'at+jwt', { aud: API, client_id: CLIENT, jti: 'j' }],
  ['the full media type', 'application/at+jwt', { aud: API, client_id: CLIENT }],
  ['client credentials', 'JWT', { aud: API, azp: CLIENT, gty: 'client-credentials' }],
  ['no typ', undefined, { aud: API, azp: CLIENT }],
]

const idTokens: [string, unknown, Record<string, unknown>][] = [
  ['a nonce', 'JWT', { aud: CLIENT, sid: 'S1', nonce: 'n' }],
  ['neither nonce nor at_hash', 'JWT', { aud: CLIENT, sid: 'S1' }],
  ['an azp in its audience', 'JWT', { aud: [CLIENT], azp: CLIENT, at_hash: 'h' }],
  ['no typ', undefined, { aud: CLIENT, sid: 'S1' }],
]

const otherTokens: [string, unknown, Record<string, unknown>][] = [
  ['the type of a logout token', 'logout+jwt', { aud: CLIENT, sid: 'S1', events: {} }],
  ['the claims of a logout token of Auth0', 'JWT', { aud: CLIENT, sid: 'S1', events: {} }],
  ['another type', 'dpop+jwt', { aud: API, azp: CLIENT }],
  ['a typ that is not a string', 7, { aud: API, azp: CLIENT }],
]

describe('isAccessToken', () => {
  test.each(accessTokens)('accepts an access token with %s', (_case, typ, claims) => {
    expect(isAccessToken(typ, claims)).toBe(true)
  })

  test.each([...idTokens, ...otherTokens])('rejects a token with %s', (_case, typ, claims) => {
    expect(isAccessToken(typ, claims)).toBe(false)
  })

  test('rejects an ID token whose audience is an API', () => {
    expect(isAccessToken('JWT', { aud: API, sid: 'S1', nonce: 'n', azp: CLIENT })).toBe(false)
    expect(isAccessToken('JWT', { aud: API, sid: 'S1' })).toBe(false)
  })
})

describe('isIdToken', () => {
  test.each(idTokens)('accepts an ID token with %s', (_case, typ, claims) => {
    expect(isIdToken(typ, claims, [API])).toBe(true)
  })

  test.each([...accessTokens, ...otherTokens])('rejects a token with %s', (_case, typ, claims) => {
    expect(isIdToken(typ, claims, [API])).toBe(false)
  })

  test('rejects a token whose audience is an API', () => {
    expect(isIdToken('JWT', { aud: API, sid: 'S1' }, [API])).toBe(false)
    expect(isIdToken('JWT', { aud: [CLIENT, API], sid: 'S1' }, [API])).toBe(false)
  })
})
