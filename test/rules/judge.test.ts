import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DAY_MS, later } from '../../src/rules/instant.js'
import { judge, type KnownLogouts, type Policy } from '../../src/rules/judge.js'
import type { Token } from '../../src/rules/token.js'

// A logout covers a token if it applies to the user or the session of the token, under the policy. The newest logout
// that covers a token revokes it, unless the login of the token is later.

const LOGIN_MS = Date.parse('2026-11-23T10:00:00Z')
const noLogout: KnownLogouts = { user: null, session: null, floorAt: null }
const createToken = (overrides: Partial<Token> = {}): Token => ({
  subject: 'auth0|1',
  sessionId: 'S1',
  loginAt: LOGIN_MS,
  ...overrides,
})
const userLogout = (instant: number, allSessionsAt: number | null = null) => ({
  ...noLogout,
  user: { at: instant, allSessionsAt },
})
const sessionLogout = (instant: number) => ({
  ...noLogout,
  session: { at: instant, ended: false },
})
const endedSession = (instant: number) => ({ ...noLogout, session: { at: instant, ended: true } })
/** The floor is an instant for the whole tenant. It covers every token. */
const floor = (floorAt: number) => ({ ...noLogout, floorAt })

describe.each<
  [
    cover: string,
    policy: Policy,
    token: Token,
    createLogouts: (instant: number) => KnownLogouts,
    reason: string,
  ]
>([
  [
    'the logout of its session',
    'session',
    createToken(),
    (instant) => sessionLogout(instant),
    'session_logout',
  ],
  [
    'a logout of all sessions',
    'session',
    createToken(),
    (instant) => userLogout(instant, instant),
    'all_sessions_logout',
  ],
  ['the floor', 'session', createToken(), floor, 'floor'],
  [
    'a logout of its user (the token has no session)',
    'session',
    createToken({ sessionId: null }),
    (instant) => userLogout(instant),
    'user_logout',
  ],
  ['a logout of its user', 'user', createToken(), (instant) => userLogout(instant), 'user_logout'],
  [
    'the logout of its session',
    'user',
    createToken(),
    (instant) => sessionLogout(instant),
    'session_logout',
  ],
  ['the floor', 'user', createToken(), floor, 'floor'],
])(
  'a token that is covered by %s under policy %s',
  (_cover, policy, tokenToJudge, createLogouts, reason) => {
    test.each<[caseName: string, logoutAt: number, revoked: boolean]>([
      ['revoked if the logout is one millisecond after its login', LOGIN_MS + 1, true],
      [
        'revoked if the logout is in the same millisecond as its login (pitfall 22)',
        LOGIN_MS,
        true,
      ],
      ['accepted if the logout is one millisecond before its login', LOGIN_MS - 1, false],
      ['accepted if the logout is a whole second before its login', LOGIN_MS - 1000, false],
      [
        'revoked if the logout is in the same second as its login, which is in whole seconds (pitfall 22)',
        LOGIN_MS + 999,
        true,
      ],
    ])('a covered token is %s', (_case, logoutAt, revoked) => {
      const verdict = judge(tokenToJudge, createLogouts(logoutAt), { policy })
      expect(verdict).toEqual({
        revoked,
        reason: revoked ? reason : 'login_after_logout',
        lastLogoutAt: logoutAt,
        loginAt: LOGIN_MS,
      })
    })

    test.each([
      ['accepted', 9, false],
      ['revoked', 10, true],
      ['revoked', 11, true],
    ])(
      'with a leeway of 10 ms, a token is %s if the logout is %d ms after its login (pitfall 23)',
      (_outcome, logoutAfterMs, revoked) => {
        const logouts = createLogouts(LOGIN_MS + logoutAfterMs)
        expect(judge(tokenToJudge, logouts, { policy, leewayMs: 10 }).revoked).toBe(revoked)
      },
    )
  },
)

describe('a token that no logout covers', () => {
  test('a logout of another session does not revoke a token under policy session', () => {
    // The token names a session, and no logout of this session is known.
    const logouts = userLogout(LOGIN_MS + 5_000)
    expect(judge(createToken(), logouts, { policy: 'session' })).toMatchObject({
      revoked: false,
      reason: 'no_logout',
    })
  })
  test('a token is accepted if no logout is known', () => {
    expect(judge(createToken(), noLogout, { policy: 'user' })).toEqual({
      revoked: false,
      reason: 'no_logout',
      lastLogoutAt: null,
      loginAt: LOGIN_MS,
    })
  })
})

describe.each<Policy>(['session', 'user'])('under policy %s', (policy) => {
  test('a token of an ended session is revoked, even if its login is after the end of the session', () => {
    const tokenToJudge = createToken({ loginAt: LOGIN_MS + DAY_MS })
    const verdict = judge(tokenToJudge, endedSession(LOGIN_MS), { policy })
    expect(verdict).toMatchObject({
      revoked: true,
      reason: 'session_ended',
      lastLogoutAt: LOGIN_MS,
    })
  })

  test.each(['abc@clients', 'a.b-c@clients'])(
    'a machine token with the subject %s is never revoked',
    (subject) => {
      const logoutAt = LOGIN_MS + DAY_MS
      const laterLogouts = {
        user: { at: logoutAt, allSessionsAt: logoutAt },
        session: null,
        floorAt: logoutAt,
      }
      const machineToken = createToken({ subject, sessionId: null })
      expect(judge(machineToken, laterLogouts, { policy })).toMatchObject({
        revoked: false,
        reason: 'machine_token',
      })
    },
  )

  test.each(['auth0|abc@clients', '@clients', 'abc@clients.example', 'samlp|x|y@clients'])(
    'a token with the subject %s is not a machine token',
    (subject) => {
      expect(judge(createToken({ subject }), floor(LOGIN_MS + 1), { policy }).revoked).toBe(true)
    },
  )

  test('a token with an unknown login is revoked if and only if a logout covers it', () => {
    const tokenToJudge = createToken({ loginAt: null })
    const earlyFloor = floor(1)
    expect(judge(tokenToJudge, earlyFloor, { policy })).toMatchObject({
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
        const covers = [allAt, sessionAt, floorAt]
        // The logout of another session of the user covers the token under policy `user` only.
        if (policy === 'user') covers.push(userAt)
        const newestCover = Math.max(...covers)
        const verdict = judge(createToken(), logouts, { policy })
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

/** Returns the newest of the logouts that `a` and `b` contain. */
function mergeLogouts(a: KnownLogouts, b: KnownLogouts): KnownLogouts {
  return {
    user: mergeUserLogouts(a.user, b.user),
    session: mergeSessionLogouts(a.session, b.session),
    floorAt: later(a.floorAt, b.floorAt),
  }
}

function mergeUserLogouts(a: KnownLogouts['user'], b: KnownLogouts['user']): KnownLogouts['user'] {
  if (a === null || b === null) return a ?? b
  return { at: Math.max(a.at, b.at), allSessionsAt: later(a.allSessionsAt, b.allSessionsAt) }
}

function mergeSessionLogouts(
  a: KnownLogouts['session'],
  b: KnownLogouts['session'],
): KnownLogouts['session'] {
  if (a === null || b === null) return a ?? b
  return { at: Math.max(a.at, b.at), ended: a.ended || b.ended }
}
