import { describe, expect, test } from 'vitest'
import {
  claimNames,
  isLoginUnreadable,
  isSessionUnreadable,
  readToken,
} from '../../src/rules/token.js'

const AT = 1_795_428_000
const LOGIN = AT * 1000
const OURS = claimNames()
const claims = { sub: 'auth0|1', iat: AT + 3, auth_time: AT + 2 }

describe('the login of a token', () => {
  test.each([
    ['authenticated_at first', { [OURS.authenticatedAt]: AT + 1.5 }, 1_500, OURS.authenticatedAt],
    ['auth_time second', {}, 2_000, 'auth_time'],
    ['iat last', { auth_time: undefined }, 3_000, 'iat'],
    ['a string of ten digits', { auth_time: `${AT + 2}` }, 2_000, 'auth_time'],
    ['a string of ten digits with a fraction', { auth_time: `${AT + 2}.5` }, 2_500, 'auth_time'],
  ])('is read from %s', (_what, over, afterMs, claim) => {
    const token = readToken({ ...claims, ...over })
    expect(token).toMatchObject({ loginAt: LOGIN + afterMs, loginClaim: claim })
    expect(isLoginUnreadable(token)).toBe(false)
  })

  test('is absent without any of the claims', () => {
    const token = readToken({ sub: 'auth0|1' })
    expect(token).toMatchObject({ loginAt: null, loginClaim: null })
    expect(isLoginUnreadable(token)).toBe(false)
  })

  test.each([
    ['authenticated_at', OURS.authenticatedAt, 'soon'],
    ['authenticated_at that is null', OURS.authenticatedAt, null],
    ['auth_time in milliseconds', 'auth_time', LOGIN],
    ['auth_time that is empty', 'auth_time', ''],
    ['iat in milliseconds as a string', 'iat', `${LOGIN}`],
    ['iat that is a date', 'iat', new Date(LOGIN)],
    ['iat that is a list', 'iat', [AT]],
  ])('never falls through an unreadable %s', (_what, claim, value) => {
    const later = claim === 'iat' ? { auth_time: undefined } : {}
    const token = readToken({ ...claims, ...later, [claim]: value })
    expect(token).toMatchObject({ loginAt: null, loginClaim: claim })
    expect(isLoginUnreadable(token)).toBe(true)
  })

  test('ignores an unreadable claim after the claim that decides', () => {
    const token = readToken({ ...claims, iat: LOGIN })
    expect(token).toMatchObject({ loginAt: LOGIN + 2_000, loginClaim: 'auth_time' })
    expect(isLoginUnreadable(token)).toBe(false)
  })
})

describe('the session of a token', () => {
  test.each([
    ['the Action’s claim first', { [OURS.sessionId]: 'A', sid: 'B' }, 'A', OURS.sessionId],
    ['sid, the claim of ID tokens', { sid: 'B' }, 'B', 'sid'],
    ['no claim', {}, null, null],
  ])('is read from %s', (_what, over, sessionId, claim) => {
    const token = readToken({ ...claims, ...over })
    expect(token).toMatchObject({ sessionId, sessionClaim: claim })
    expect(isSessionUnreadable(token)).toBe(false)
  })

  test.each([
    ['a number', 5],
    ['null', null],
    ['empty', ''],
    ['an object', { id: 'A' }],
    ['over-long', 'x'.repeat(801)],
  ])('is missing if the claim is %s, even if sid is readable', (_what, value) => {
    const token = readToken({ ...claims, [OURS.sessionId]: value, sid: 'B' })
    expect(token).toMatchObject({ sessionId: null, sessionClaim: OURS.sessionId })
    expect(isSessionUnreadable(token)).toBe(true)
  })
})

test('the claims of the Action are read from a configured namespace', () => {
  const names = claimNames('https://acme.example/')
  const given = { ...claims, 'https://acme.example/authenticated_at': AT, [OURS.sessionId]: 'T' }
  expect(readToken(given, names)).toMatchObject({ loginAt: LOGIN, sessionClaim: null })
})

test.each([[{}], [{ sub: '' }], [{ sub: null }], [{ sub: 5 }], [{ sub: 'x'.repeat(801) }]])(
  'a token with the claims %j has no subject, and keeps its session and login',
  (given) => {
    const token = readToken({ iat: AT, sid: 'B', ...given })
    expect(token).toMatchObject({ subject: null, sessionId: 'B', loginAt: LOGIN })
  },
)
