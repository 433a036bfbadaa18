import { describe, expect, test } from 'vitest'
import {
  claimNames,
  isLoginUnreadable,
  isSessionUnreadable,
  readToken,
} from '../../src/rules/token.js'

const LOGIN_SECONDS = 1_795_428_000
const LOGIN_MS = LOGIN_SECONDS * 1000
const NAMES = claimNames()
const claims = { sub: 'auth0|1', iat: LOGIN_SECONDS + 3, auth_time: LOGIN_SECONDS + 2 }

describe('the login of a token', () => {
  test.each([
    [
      'authenticated_at first',
      { [NAMES.authenticatedAt]: LOGIN_SECONDS + 1.5 },
      1_500,
      NAMES.authenticatedAt,
    ],
    ['auth_time second', {}, 2_000, 'auth_time'],
    ['iat last', { auth_time: undefined }, 3_000, 'iat'],
    ['a string of ten digits', { auth_time: `${LOGIN_SECONDS + 2}` }, 2_000, 'auth_time'],
    [
      'a string of ten digits with a fraction',
      { auth_time: `${LOGIN_SECONDS + 2}.5` },
      2_500,
      'auth_time',
    ],
  ])('the login is read from %s', (_case, overrides, afterMs, claim) => {
    const token = readToken({ ...claims, ...overrides })
    expect(token).toMatchObject({ loginAt: LOGIN_MS + afterMs, loginClaim: claim })
    expect(isLoginUnreadable(token)).toBe(false)
  })

  test('the login is absent if the token has none of these claims', () => {
    const token = readToken({ sub: 'auth0|1' })
    expect(token).toMatchObject({ loginAt: null, loginClaim: null })
    expect(isLoginUnreadable(token)).toBe(false)
  })

  test.each([
    ['authenticated_at', NAMES.authenticatedAt, 'soon'],
    ['authenticated_at of null', NAMES.authenticatedAt, null],
    ['auth_time in milliseconds', 'auth_time', LOGIN_MS],
    ['auth_time of an empty string', 'auth_time', ''],
    ['iat in milliseconds as a string', 'iat', `${LOGIN_MS}`],
    ['iat of a Date', 'iat', new Date(LOGIN_MS)],
    ['iat of an array', 'iat', [LOGIN_SECONDS]],
  ])(
    'an unreadable %s makes the login unreadable, even if the next claim is readable',
    (_case, claim, value) => {
      const withoutAuthTime = claim === 'iat' ? { auth_time: undefined } : {}
      const token = readToken({ ...claims, ...withoutAuthTime, [claim]: value })
      expect(token).toMatchObject({ loginAt: null, loginClaim: claim })
      expect(isLoginUnreadable(token)).toBe(true)
    },
  )

  test('an unreadable claim after the claim that decides is ignored', () => {
    const token = readToken({ ...claims, iat: LOGIN_MS })
    expect(token).toMatchObject({ loginAt: LOGIN_MS + 2_000, loginClaim: 'auth_time' })
    expect(isLoginUnreadable(token)).toBe(false)
  })
})

describe('the session of a token', () => {
  test.each([
    ['the claim of the Action first', { [NAMES.sessionId]: 'A', sid: 'B' }, 'A', NAMES.sessionId],
    ['sid second', { sid: 'B' }, 'B', 'sid'],
    ['no claim if both are missing', {}, null, null],
  ])('the session is read from %s', (_case, overrides, sessionId, claim) => {
    const token = readToken({ ...claims, ...overrides })
    expect(token).toMatchObject({ sessionId, sessionClaim: claim })
    expect(isSessionUnreadable(token)).toBe(false)
  })

  test.each([
    ['a number', 5],
    ['null', null],
    ['an empty string', ''],
    ['an object', { id: 'A' }],
    ['too long', 'x'.repeat(801)],
  ])('the session is unreadable if the claim is %s, even if sid is readable', (_case, value) => {
    const token = readToken({ ...claims, [NAMES.sessionId]: value, sid: 'B' })
    expect(token).toMatchObject({ sessionId: null, sessionClaim: NAMES.sessionId })
    expect(isSessionUnreadable(token)).toBe(true)
  })
})

test('the claims of the Action are read from a configured namespace', () => {
  const names = claimNames('https://acme.example/')
  const givenClaims = {
    ...claims,
    'https://acme.example/authenticated_at': LOGIN_SECONDS,
    [NAMES.sessionId]: 'T',
  }
  expect(readToken(givenClaims, names)).toMatchObject({ loginAt: LOGIN_MS, sessionClaim: null })
})

test.each([[{}], [{ sub: '' }], [{ sub: null }], [{ sub: 5 }], [{ sub: 'x'.repeat(801) }]])(
  'a token with the claims %j has no subject, but a session and a login',
  (givenClaims) => {
    const token = readToken({ iat: LOGIN_SECONDS, sid: 'B', ...givenClaims })
    expect(token).toMatchObject({ subject: null, sessionId: 'B', loginAt: LOGIN_MS })
  },
)
