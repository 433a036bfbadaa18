import { describe, expect, test } from 'vitest'
import { isAccessToken, isIdToken } from '../../src/rules/token-kind.js'

const API = 'https://orders.example.com'
const CLIENT = 'SinglePageApp'

/** A token in a table of tests. `typ`: the type in the header of the token. */
type TokenCase = [caseName: string, typ: unknown, claims: Record<string, unknown>]

const accessTokens: TokenCase[] = [
  [
    "an access token with the claims of Auth0's default profile",
    'JWT',
    { aud: API, azp: CLIENT, scope: 'openid' },
  ],
  [
    "an access token with the claims of Auth0's default profile, without a scope",
    'JWT',
    { aud: API, azp: CLIENT },
  ],
  [
    'an access token with two audiences',
    'JWT',
    { aud: [API, 'https://tenant.example/userinfo'], azp: CLIENT },
  ],
  [
    'an access token with the type of RFC 9068',
    'at+jwt',
    { aud: API, client_id: CLIENT, jti: 'j' },
  ],
  [
    'an access token with the type of RFC 9068 as a full media type',
    'application/at+jwt',
    { aud: API, client_id: CLIENT },
  ],
  [
    'an access token with the claims of a client credentials grant',
    'JWT',
    { aud: API, azp: CLIENT, gty: 'client-credentials' },
  ],
  ['an access token with no typ', undefined, { aud: API, azp: CLIENT }],
]

const idTokens: TokenCase[] = [
  ['an ID token with a nonce', 'JWT', { aud: CLIENT, sid: 'S1', nonce: 'n' }],
  ['an ID token with neither nonce nor at_hash', 'JWT', { aud: CLIENT, sid: 'S1' }],
  ['an ID token with an azp in its audience', 'JWT', { aud: [CLIENT], azp: CLIENT, at_hash: 'h' }],
  ['an ID token with no typ', undefined, { aud: CLIENT, sid: 'S1' }],
]

const otherTokens: TokenCase[] = [
  ['a token with the type of a logout token', 'logout+jwt', { aud: CLIENT, sid: 'S1', events: {} }],
  [
    'a token with the claims of a logout token of Auth0',
    'JWT',
    { aud: CLIENT, sid: 'S1', events: {} },
  ],
  ['a token with the type of a DPoP proof', 'dpop+jwt', { aud: API, azp: CLIENT }],
  ['a token with a typ that is not a string', 7, { aud: API, azp: CLIENT }],
]

describe('isAccessToken', () => {
  test.each(accessTokens)('isAccessToken accepts %s', (_case, typ, claims) => {
    expect(isAccessToken(typ, claims)).toBe(true)
  })

  test.each([...idTokens, ...otherTokens])('isAccessToken rejects %s', (_case, typ, claims) => {
    expect(isAccessToken(typ, claims)).toBe(false)
  })

  test('isAccessToken rejects an ID token, even if its audience is an API', () => {
    expect(isAccessToken('JWT', { aud: API, sid: 'S1', nonce: 'n', azp: CLIENT })).toBe(false)
    expect(isAccessToken('JWT', { aud: API, sid: 'S1' })).toBe(false)
  })
})

describe('isIdToken', () => {
  test.each(idTokens)('isIdToken accepts %s', (_case, typ, claims) => {
    expect(isIdToken(typ, claims, [API])).toBe(true)
  })

  test.each([...accessTokens, ...otherTokens])('isIdToken rejects %s', (_case, typ, claims) => {
    expect(isIdToken(typ, claims, [API])).toBe(false)
  })

  test('isIdToken rejects a token whose audience is an API', () => {
    expect(isIdToken('JWT', { aud: API, sid: 'S1' }, [API])).toBe(false)
    expect(isIdToken('JWT', { aud: [CLIENT, API], sid: 'S1' }, [API])).toBe(false)
  })
})
