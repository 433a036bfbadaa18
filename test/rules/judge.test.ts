import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { judge, type KnownLogouts, type Policy } from '../../src/rules/judge.js'
import type { Token } from '../../src/rules/token.js'

const LOGIN = 1_795_428_000_000
const none: KnownLogouts = { user: null, session: null, floorAt: null }
const token = (over: Partial<Token> = {}): Token => ({
  subject: 'auth0|1',
  sessionId: 'S1',
  loginAt: LOGIN,
  ...over,
})
const user = (at: number, allSessionsAt: number | null = null) => ({
  ...none,
  user: { at, allSessionsAt },
})
const session = (at: number, ended = false) => ({ ...none, session: { at, ended } })
const floor = (floorAt: number) => ({ ...none, floorAt })

describe.each<[string, Policy, Token, (at: number) => KnownLogouts, string]>([
  ['the logout of its session', 'session', token(), (at) => session(at), 'session_logout'],
  ['a logout of all sessions', 'session', token(), (at) => user(at, at), 'all_sessions_logout'],
  ['the floor', 'session', token(), floor, 'floor'],
  [
    'any logout of its user if it has no session',
    'session',
    token({ sessionId: null }),
    (at) => user(at),
    'user_logout',
  ],
  ['any logout of its user', 'user', token(), (at) => user(at), 'user_logout'],
  ['the logout of its session', 'user', token(), (at) => session(at), 'session_logout'],
  ['the floor', 'user', token(), floor, 'floor'],
])('%s under policy %s', (_what, policy, judged, known, reason) => {
  test.each([
    ['one millisecond before the logout', LOGIN + 1, true],
    ['in the same millisecond (P22)', LOGIN, true],
    ['one millisecond after the logout', LOGIN - 1, false],
    ['a whole second after the logout', LOGIN - 1000, false],
    ['in the same second, if the login is known only to the second (P22)', LOGIN + 999, true],
  ])('a login %s', (_when, logoutAt, revoked) => {
    const verdict = judge(judged, known(logoutAt), { policy })
    expect(verdict).toEqual({
      revoked,
      reason: revoked ? reason : 'login_after_logout',
      lastLogoutAt: logoutAt,
      loginAt: LOGIN,
    })
  })

  test.each([
    [10, LOGIN + 9, false],
    [10, LOGIN + 10, true],
    [10, LOGIN + 11, true],
  ])('a leeway of %d ms moves the login once (P23)', (leewayMs, logoutAt, revoked) => {
    expect(judge(judged, known(logoutAt), { policy, leewayMs }).revoked).toBe(revoked)
  })
})

describe('a token is not covered by', () => {
  test('a logout of another session under policy session', () => {
    expect(judge(token(), user(LOGIN + 5_000), { policy: 'session' })).toMatchObject({
      revoked: false,
      reason: 'no_logout',
    })
  })
  test('anything if no logout is known', () => {
    expect(judge(token(), none, { policy: 'user' })).toEqual({
      revoked: false,
      reason: 'no_logout',
      lastLogoutAt: null,
      loginAt: LOGIN,
    })
  })
})

describe.each<Policy>(['session', 'user'])('under policy %s', (policy) => {
  test('a token of an ended session is revoked, even if its login is later', () => {
    const verdict = judge(token({ loginAt: LOGIN + 1e9 }), session(LOGIN, true), { policy })
    expect(verdict).toMatchObject({ revoked: true, reason: 'session_ended', lastLogoutAt: LOGIN })
  })

  test.each(['abc@clients', 'a.b-c@clients'])(
    'the machine token %s is never revoked',
    (subject) => {
      const known = {
        user: { at: LOGIN * 2, allSessionsAt: LOGIN * 2 },
        session: null,
        floorAt: LOGIN * 2,
      }
      expect(judge(token({ subject, sessionId: null }), known, { policy })).toMatchObject({
        revoked: false,
        reason: 'machine_token',
      })
    },
  )

  test.each(['auth0|abc@clients', '@clients', 'abc@clients.example', 'samlp|x|y@clients'])(
    'the user %s is not a machine, although its id resembles one',
    (subject) => {
      expect(judge(token({ subject }), floor(LOGIN + 1), { policy }).revoked).toBe(true)
    },
  )

  test('a token with an unknown login is revoked if any logout covers it', () => {
    const judged = token({ loginAt: null })
    expect(judge(judged, floor(1), { policy })).toMatchObject({
      revoked: true,
      reason: 'login_unknown',
    })
    expect(judge(judged, none, { policy })).toMatchObject({ revoked: false, reason: 'no_logout' })
  })

  test('the newest of several covering logouts decides (P20)', () => {
    const at = fc.integer({ min: LOGIN - 1000, max: LOGIN + 1000 })
    fc.assert(
      fc.property(at, at, at, at, (userAt, allAt, sessionAt, floorAt) => {
        const known = {
          user: { at: Math.max(userAt, allAt), allSessionsAt: allAt },
          session: { at: sessionAt, ended: false },
          floorAt,
        }
        const cutOffs = [allAt, sessionAt, floorAt, ...(policy === 'user' ? [userAt] : [])]
        const verdict = judge(token(), known, { policy })
        expect(verdict.revoked).toBe(cutOffs.some((cutOff) => cutOff >= LOGIN))
        expect(verdict.lastLogoutAt).toBe(cutOffs.sort((a, b) => b - a)[0])
      }),
    )
  })

  test('a revoked token stays revoked when more logouts become known', () => {
    const at = fc.integer({ min: LOGIN - 50, max: LOGIN + 50 })
    const known = fc.record({
      user: fc.option(fc.record({ at, allSessionsAt: fc.option(at) })),
      session: fc.option(fc.record({ at, ended: fc.boolean() })),
      floorAt: fc.option(at),
    })
    const judged = fc.record({
      subject: fc.constant('auth0|1'),
      sessionId: fc.constantFrom('S1', null),
      loginAt: fc.option(at),
    })
    fc.assert(
      fc.property(judged, known, known, (one, before, more) => {
        const max = (a: number | null, b: number | null) =>
          a === null || b === null ? (a ?? b) : Math.max(a, b)
        const after: KnownLogouts = {
          user:
            before.user && more.user
              ? {
                  at: Math.max(before.user.at, more.user.at),
                  allSessionsAt: max(before.user.allSessionsAt, more.user.allSessionsAt),
                }
              : (before.user ?? more.user),
          session:
            before.session && more.session
              ? {
                  at: Math.max(before.session.at, more.session.at),
                  ended: before.session.ended || more.session.ended,
                }
              : (before.session ?? more.session),
          floorAt: max(before.floorAt, more.floorAt),
        }
        if (judge(one, before, { policy }).revoked) {
          expect(judge(one, after, { policy }).revoked).toBe(true)
        }
      }),
    )
  })
})
