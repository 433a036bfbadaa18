import { describe, expect, test } from 'vitest'
import { MAX_ID_LENGTH } from '../../src/rules/id.js'
import {
  claimNames,
  isLoginUnreadable,
  isSessionUnreadable,
  readToken,
} from '../../src/rules/token.js'

// `readToken` reads the subject, the session and the time of the login from the claims of a token. For the session and
// the login, several claims can contain the value. The first claim that is present decides.

const LOGIN_MS = Date.parse('2026-11-23T10:00:00Z')
const LOGIN_SECONDS = LOGIN_MS / 1000
/** The names of the claims that the login Action adds. */
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
  ])('the login is read from %s', (_case, overrides, msAfterLogin, claim) => {
    const token = readToken({ ...claims, ...overrides })
    expect(token).toMatchObject({ loginAt: LOGIN_MS + msAfterLogin, loginClaim: claim })
    expect(isLoginUnreadable(token)).toBe(false)
  })

  test('the login is null, but not unreadable, if the token has no login claim', () => {
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
    'the login is unreadable because of an unreadable %s, even if the next claim is readable',
    (_case, claim, value) => {
      const withoutAuthTime = claim === 'iat' ? { auth_time: undefined } : {}
      const token = readToken({ ...claims, ...withoutAuthTime, [claim]: value })
      expect(token).toMatchObject({ loginAt: null, loginClaim: claim })
      expect(isLoginUnreadable(token)).toBe(true)
    },
  )

  test('an unreadable claim is ignored if an earlier claim decides', () => {
    const token = readToken({ ...claims, iat: LOGIN_MS })
    expect(token).toMatchObject({ loginAt: LOGIN_MS + 2_000, loginClaim: 'auth_time' })
    expect(isLoginUnreadable(token)).toBe(false)
  })
})

describe('the session of a token', () => {
  test.each([
    [
      'the claim of the login Action first',
      { [NAMES.sessionId]: 'A', sid: 'B' },
      'A',
      NAMES.sessionId,
    ],
    ['sid second', { sid: 'B' }, 'B', 'sid'],
    ['no claim if both claims are missing', {}, null, null],
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
    ['too long', 'x'.repeat(MAX_ID_LENGTH + 1)],
  ])(
    'the session is unreadable if the claim of the login Action is %s, even if sid is readable',
    (_case, value) => {
      const token = readToken({ ...claims, [NAMES.sessionId]: value, sid: 'B' })
      expect(token).toMatchObject({ sessionId: null, sessionClaim: NAMES.sessionId })
      expect(isSessionUnreadable(token)).toBe(true)
    },
  )
})

test('the claims of the login Action are read from a configured namespace, and not from the default namespace', () => {
  const names = claimNames('https://acme.example/')
  const claimsOfBothNamespaces = {
    ...claims,
    'https://acme.example/authenticated_at': LOGIN_SECONDS,
    [NAMES.sessionId]: 'T',
  }
  expect(readToken(claimsOfBothNamespaces, names)).toMatchObject({
    loginAt: LOGIN_MS,
    sessionClaim: null,
  })
})

test.each([
  [{}],
  [{ sub: '' }],
  [{ sub: null }],
  [{ sub: 5 }],
  [{ sub: 'x'.repeat(MAX_ID_LENGTH + 1) }],
])(
  'the subject is null if the claims are %j, but the session and the login are read',
  (subjectClaims) => {
    const token = readToken({ iat: LOGIN_SECONDS, sid: 'B', ...subjectClaims })
    expect(token).toMatchObject({ subject: null, sessionId: 'B', loginAt: LOGIN_MS })
  },
)
