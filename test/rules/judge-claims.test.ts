import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { judge, type KnownLogouts, type Policy } from '../../src/rules/judge.js'
import { judgeClaims } from '../../src/rules/judge-claims.js'
import { claimNames, isMachine, readToken } from '../../src/rules/token.js'

// A token can have claims that do not suffice to judge it: an unreadable time of the login, or no subject. If no known
// logout revokes such a token, it is undecided: `revoked` is `null`.

const LOGOUT_MS = Date.parse('2026-11-23T10:00:00Z')
const LOGOUT_SECONDS = LOGOUT_MS / 1000
const NAMES = claimNames()
const noLogout: KnownLogouts = { user: null, session: null, floorAt: null }
// `allSessionsAt` is the instant of the latest logout that ended all sessions of the user.
const userLogout = { ...noLogout, user: { at: LOGOUT_MS, allSessionsAt: LOGOUT_MS } }
const sessionEnded = { ...noLogout, session: { at: LOGOUT_MS, ended: true } }
const sessionLogout = { ...noLogout, session: { at: LOGOUT_MS, ended: false } }
// The floor revokes the tokens of all users whose login is not after it.
const floorAtLogout = { ...noLogout, floorAt: LOGOUT_MS }

const judgeToken = (claims: Record<string, unknown>, knownLogouts: KnownLogouts) =>
  judgeClaims(readToken(claims), knownLogouts, { policy: 'session' })

// A verdict has the reason `login_unreadable` if it is undecided, and `login_unknown` if a logout revokes the token.
describe('a token with an unreadable login', () => {
  // This `iat` is in milliseconds, not in seconds.
  const claims = { sub: 'auth0|1', sid: 'S', iat: LOGOUT_MS + 60_000 }
  test.each<
    [caseName: string, knownLogouts: KnownLogouts, revoked: boolean | null, reason: string]
  >([
    ['undecided if no logout is known', noLogout, null, 'login_unreadable'],
    ['revoked by a logout of its user', userLogout, true, 'login_unknown'],
    ['revoked by the floor', floorAtLogout, true, 'login_unknown'],
    [
      'revoked by the end of its session, even if another logout covers it, too',
      { ...userLogout, ...sessionEnded },
      true,
      'session_ended',
    ],
  ])('a token with an unreadable login is %s', (_case, knownLogouts, revoked, reason) => {
    expect(judgeToken(claims, knownLogouts)).toMatchObject({ revoked, reason })
  })

  test('a machine token with an unreadable login is not revoked', () => {
    const machine = { ...claims, sub: 'abc@clients' }
    expect(judgeToken(machine, { ...userLogout, ...floorAtLogout })).toMatchObject({
      revoked: false,
      reason: 'machine_token',
    })
  })
})

test.each<[caseName: string, knownLogouts: KnownLogouts, revoked: boolean, reason: string]>([
  ['accepted if no logout is known', noLogout, false, 'no_logout'],
  ['revoked by a logout that covers it', userLogout, true, 'login_unknown'],
])('a token without a login claim is %s', (_case, knownLogouts, revoked, reason) => {
  expect(judgeToken({ sub: 'auth0|1' }, knownLogouts)).toMatchObject({ revoked, reason })
})

describe('a token without a subject', () => {
  const claims = { sid: 'S', iat: LOGOUT_SECONDS - 60 }
  test.each<
    [
      caseName: string,
      claims: Record<string, unknown>,
      knownLogouts: KnownLogouts,
      revoked: boolean | null,
      reason: string,
    ]
  >([
    ['undecided if no logout is known', claims, noLogout, null, 'no_subject'],
    ['revoked if its session has ended', claims, sessionEnded, true, 'session_ended'],
    ['revoked by a logout of its session', claims, sessionLogout, true, 'session_logout'],
    ['revoked by the floor', claims, floorAtLogout, true, 'floor'],
    [
      'undecided if its login is after the floor',
      { iat: LOGOUT_SECONDS + 60 },
      floorAtLogout,
      null,
      'no_subject',
    ],
    ['revoked by the floor if it has no login', {}, floorAtLogout, true, 'login_unknown'],
    ['undecided even if a user has logged out', claims, userLogout, null, 'no_subject'],
  ])('a token without a subject is %s', (_case, tokenClaims, knownLogouts, revoked, reason) => {
    expect(judgeToken(tokenClaims, knownLogouts)).toMatchObject({ revoked, reason })
  })
})

test('a token with an unreadable session is judged like a token without a session', () => {
  const logoutOfOneSession = { ...noLogout, user: { at: LOGOUT_MS, allSessionsAt: null } }
  const claims = { sub: 'auth0|1', iat: LOGOUT_SECONDS - 60 }
  const readable = { ...claims, [NAMES.sessionId]: 'other' }
  // If the session claim of the Action is unreadable, `sid` does not replace it.
  const unreadable = { ...claims, [NAMES.sessionId]: 5, sid: 'other' }
  expect(judgeToken(readable, logoutOfOneSession)).toMatchObject({ revoked: false })
  expect(judgeToken(unreadable, logoutOfOneSession)).toMatchObject({
    revoked: true,
    reason: 'user_logout',
  })
})

describe('judgeClaims with random claims and logouts', () => {
  /** Times in seconds and in milliseconds near the logout, as numbers and as strings, and other JSON values. */
  const claimValue = fc.oneof(
    fc.integer({ min: LOGOUT_SECONDS - 9, max: LOGOUT_SECONDS + 9 }),
    fc.integer({ min: LOGOUT_SECONDS - 9, max: LOGOUT_SECONDS + 9 }).map(String),
    fc.integer({ min: LOGOUT_MS - 9, max: LOGOUT_MS + 9 }),
    fc.integer({ min: LOGOUT_MS - 9, max: LOGOUT_MS + 9 }).map(String),
    fc.constantFrom(null, undefined, '', 'S', true, 'auth0|1', 'abc@clients'),
    fc.jsonValue(),
  )
  const loginClaimNames = [NAMES.authenticatedAt, 'auth_time', 'iat']
  // `payload` is no claim of the rules.
  const claimNamesToTry = ['sub', NAMES.sessionId, 'sid', ...loginClaimNames, 'payload']
  const anyClaims = fc.record(
    Object.fromEntries(claimNamesToTry.map((name) => [name, claimValue])),
    { requiredKeys: [] },
  )
  const instant = fc.integer({ min: LOGOUT_MS - 9_000, max: LOGOUT_MS + 9_000 })
  const anyLogouts = fc.record({
    user: fc.option(fc.record({ at: instant, allSessionsAt: fc.option(instant) })),
    session: fc.option(fc.record({ at: instant, ended: fc.boolean() })),
    floorAt: fc.option(instant),
  })
  const anyPolicy = fc.constantFrom<Policy>('session', 'user')

  test('judgeClaims accepts no token with an unreadable login or without a subject, except for machine tokens', () => {
    fc.assert(
      fc.property(anyClaims, anyLogouts, anyPolicy, (claims, knownLogouts, policy) => {
        const token = readToken(claims)
        const { revoked, reason } = judgeClaims(token, knownLogouts, { policy })
        const loginClaim = loginClaimNames.find((name) => claims[name] !== undefined)
        const isLoginUnreadable = loginClaim !== undefined && token.loginAt === null
        if (token.subject !== null && isMachine(token.subject)) {
          expect(reason).toBe('machine_token')
        } else if (token.subject === null || isLoginUnreadable) {
          expect(revoked).not.toBe(false)
        } else {
          expect(revoked).not.toBe(null)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  test('a token with an unreadable login is revoked if and only if the same token with the earliest login is revoked', () => {
    const userOrMachine = fc.constantFrom('auth0|1', 'abc@clients')
    fc.assert(
      fc.property(
        anyClaims,
        userOrMachine,
        anyLogouts,
        anyPolicy,
        (claims, sub, logouts, policy) => {
          const token = readToken({ ...claims, sub, [NAMES.authenticatedAt]: 'soon' })
          if (token.subject === null) throw new Error('unreachable: the claims have a `sub`')
          const earliest = judge({ ...token, loginAt: Number.NEGATIVE_INFINITY }, logouts, {
            policy,
          })
          expect(judgeClaims(token, logouts, { policy }).revoked === true).toBe(earliest.revoked)
        },
      ),
    )
  })

  test('a token is judged in the same way if its times are strings instead of numbers', () => {
    const seconds = fc.integer({ min: LOGOUT_SECONDS - 9, max: LOGOUT_SECONDS + 9 })
    const anyLoginClaims = fc.record(
      Object.fromEntries(loginClaimNames.map((name) => [name, seconds])),
      { requiredKeys: [] },
    )
    const toStrings = (claims: object) =>
      Object.fromEntries(Object.entries(claims).map(([name, value]) => [name, String(value)]))
    fc.assert(
      fc.property(
        anyClaims,
        anyLoginClaims,
        anyLogouts,
        anyPolicy,
        (claims, loginClaims, logouts, policy) => {
          const withNumbers = readToken({ ...claims, ...loginClaims })
          const withStrings = readToken({ ...claims, ...toStrings(loginClaims) })
          expect(judgeClaims(withStrings, logouts, { policy })).toEqual(
            judgeClaims(withNumbers, logouts, { policy }),
          )
        },
      ),
    )
  })
})
