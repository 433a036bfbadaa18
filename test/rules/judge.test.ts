import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { judge, type KnownLogouts, type Policy } from '../../src/rules/judge.js'
import type { Token } from '../../src/rules/token.js'

const LOGIN_MS = 1_795_428_000_000
const noLogout: KnownLogouts = { user: null, session: null, floorAt: null }
const token = (overrides: Partial<Token> = {}): Token => ({
  subject: 'auth0|1',
  sessionId: 'S1',
  loginAt: LOGIN_MS,
  ...overrides,
})
const userLogout = (instant: number, allSessionsAt: number | null = null) => ({
  ...noLogout,
  user: { at: instant, allSessionsAt },
})
const sessionLogout = (instant: number, ended = false) => ({
  ...noLogout,
  session: { at: instant, ended },
})
const floorLogout = (floorAt: number) => ({ ...noLogout, floorAt })

describe.each<[string, Policy, Token, (instant: number) => KnownLogouts, string]>([
  [
    'the logout of its session',
    'session',
    token(),
    (instant) => sessionLogout(instant),
    'session_logout',
  ],
  [
    'a logout of all sessions',
    'session',
    token(),
    (instant) => userLogout(instant, instant),
    'all_sessions_logout',
  ],
  ['the floor', 'session', token(), floorLogout, 'floor'],
  [
    'a logout of its user (the token has no session)',
    'session',
    token({ sessionId: null }),
    (instant) => userLogout(instant),
    'user_logout',
  ],
  ['a logout of its user', 'user', token(), (instant) => userLogout(instant), 'user_logout'],
  [
    'the logout of its session',
    'user',
    token(),
    (instant) => sessionLogout(instant),
    'session_logout',
  ],
  ['the floor', 'user', token(), floorLogout, 'floor'],
])(
  'a token that is covered by %s under policy %s',
  (_cover, policy, tokenToJudge, createLogouts, reason) => {
    test.each([
      ['revoked if the logout is one millisecond after its login', LOGIN_MS + 1, true],
      [
        'revoked if the logout is in the same millisecond as its login (pitfall 22)',
        LOGIN_MS,
        true,
      ],
      ['accepted if the logout is one millisecond before its login', LOGIN_MS - 1, false],
      ['accepted if the logout is a whole second before its login', LOGIN_MS - 1000, false],
      [
        'revoked if the logout is in the same second as a login in whole seconds (pitfall 22)',
        LOGIN_MS + 999,
        true,
      ],
    ])('the token is %s', (_case, logoutAt, revoked) => {
      const verdict = judge(tokenToJudge, createLogouts(logoutAt), { policy })
      expect(verdict).toEqual({
        revoked,
        reason: revoked ? reason : 'login_after_logout',
        lastLogoutAt: logoutAt,
        loginAt: LOGIN_MS,
      })
    })

    test.each([
      [10, LOGIN_MS + 9, false],
      [10, LOGIN_MS + 10, true],
      [10, LOGIN_MS + 11, true],
    ])(
      'a leeway of %d ms is applied once to the login (pitfall 23)',
      (leewayMs, logoutAt, revoked) => {
        const logouts = createLogouts(logoutAt)
        expect(judge(tokenToJudge, logouts, { policy, leewayMs }).revoked).toBe(revoked)
      },
    )
  },
)

describe('a token that no logout covers', () => {
  test('a logout of another session does not revoke a token under policy session', () => {
    expect(judge(token(), userLogout(LOGIN_MS + 5_000), { policy: 'session' })).toMatchObject({
      revoked: false,
      reason: 'no_logout',
    })
  })
  test('a token is accepted if no logout is known', () => {
    expect(judge(token(), noLogout, { policy: 'user' })).toEqual({
      revoked: false,
      reason: 'no_logout',
      lastLogoutAt: null,
      loginAt: LOGIN_MS,
    })
  })
})

describe.each<Policy>(['session', 'user'])('under policy %s', (policy) => {
  test('a token of an ended session is revoked, even if its login is later', () => {
    const verdict = judge(token({ loginAt: LOGIN_MS + 1e9 }), sessionLogout(LOGIN_MS, true), {
      policy,
    })
    expect(verdict).toMatchObject({
      revoked: true,
      reason: 'session_ended',
      lastLogoutAt: LOGIN_MS,
    })
  })

  test.each(['abc@clients', 'a.b-c@clients'])(
    'the machine token %s is never revoked',
    (subject) => {
      const laterLogouts = {
        user: { at: LOGIN_MS * 2, allSessionsAt: LOGIN_MS * 2 },
        session: null,
        floorAt: LOGIN_MS * 2,
      }
      expect(judge(token({ subject, sessionId: null }), laterLogouts, { policy })).toMatchObject({
        revoked: false,
        reason: 'machine_token',
      })
    },
  )

  test.each(['auth0|abc@clients', '@clients', 'abc@clients.example', 'samlp|x|y@clients'])(
    'a token of the user %s is not a machine token',
    (subject) => {
      expect(judge(token({ subject }), floorLogout(LOGIN_MS + 1), { policy }).revoked).toBe(true)
    },
  )

  test('a token with an unknown login is revoked if any logout covers it', () => {
    const tokenToJudge = token({ loginAt: null })
    expect(judge(tokenToJudge, floorLogout(1), { policy })).toMatchObject({
      revoked: true,
      reason: 'login_unknown',
    })
    expect(judge(tokenToJudge, noLogout, { policy })).toMatchObject({
      revoked: false,
      reason: 'no_logout',
    })
  })

  test('the newest logout that covers the token decides (pitfall 20)', () => {
    const instant = fc.integer({ min: LOGIN_MS - 1000, max: LOGIN_MS + 1000 })
    fc.assert(
      fc.property(instant, instant, instant, instant, (userAt, allAt, sessionAt, floorAt) => {
        const logouts = {
          user: { at: Math.max(userAt, allAt), allSessionsAt: allAt },
          session: { at: sessionAt, ended: false },
          floorAt,
        }
        const newestCover = Math.max(
          allAt,
          sessionAt,
          floorAt,
          policy === 'user' ? userAt : Number.NEGATIVE_INFINITY,
        )
        const verdict = judge(token(), logouts, { policy })
        expect(verdict.revoked).toBe(newestCover >= LOGIN_MS)
        expect(verdict.lastLogoutAt).toBe(newestCover)
      }),
    )
  })

  test('a revoked token stays revoked when more logouts become known', () => {
    const instant = fc.integer({ min: LOGIN_MS - 50, max: LOGIN_MS + 50 })
    const anyLogouts = fc.record({
      user: fc.option(fc.record({ at: instant, allSessionsAt: fc.option(instant) })),
      session: fc.option(fc.record({ at: instant, ended: fc.boolean() })),
      floorAt: fc.option(instant),
    })
    const anyToken = fc.record({
      subject: fc.constant('auth0|1'),
      sessionId: fc.constantFrom('S1', null),
      loginAt: fc.option(instant),
    })
    fc.assert(
      fc.property(anyToken, anyLogouts, anyLogouts, (tokenToJudge, oldLogouts, newLogouts) => {
        const allLogouts = mergeLogouts(oldLogouts, newLogouts)
        if (judge(tokenToJudge, oldLogouts, { policy }).revoked) {
          expect(judge(tokenToJudge, allLogouts, { policy }).revoked).toBe(true)
        }
      }),
    )
  })
})

function mergeLogouts(a: KnownLogouts, b: KnownLogouts): KnownLogouts {
  const max = (x: number | null, y: number | null) =>
    x === null || y === null ? (x ?? y) : Math.max(x, y)
  return {
    user:
      a.user && b.user
        ? {
            at: Math.max(a.user.at, b.user.at),
            allSessionsAt: max(a.user.allSessionsAt, b.user.allSessionsAt),
          }
        : (a.user ?? b.user),
    session:
      a.session && b.session
        ? {
            at: Math.max(a.session.at, b.session.at),
            ended: a.session.ended || b.session.ended,
          }
        : (a.session ?? b.session),
    floorAt: max(a.floorAt, b.floorAt),
  }
}
