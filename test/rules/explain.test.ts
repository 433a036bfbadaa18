import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { findDecidingReason } from '../../src/rules/explain.js'
import { judge, type KnownLogouts, type Policy } from '../../src/rules/judge.js'

// Several logouts can cover a token, that is, apply to it. The newest of them decides whether the token is revoked.
describe('the deciding logout', () => {
  const noLogout: KnownLogouts = { user: null, session: null, floorAt: null }
  // In these tests, an instant is a small number. Only the order of the instants matters.
  const logouts: KnownLogouts = {
    user: { at: 30, allSessionsAt: 10 },
    session: { at: 20, ended: false },
    floorAt: 5,
  }
  test.each<
    [
      caseName: string,
      policy: Policy,
      sessionId: string | null,
      knownLogouts: KnownLogouts,
      reason: string | null,
    ]
  >([
    ['null if no logout is known', 'session', 'S', noLogout, null],
    [
      'the logout of the session if it is the newest logout that covers the token',
      'session',
      'S',
      logouts,
      'session_logout',
    ],
    ['the logout of the user under policy user', 'user', 'S', logouts, 'user_logout'],
    ['the logout of the user if the token has no session', 'session', null, logouts, 'user_logout'],
    [
      'the floor, which covers the tokens of all users, if it is the newest',
      'session',
      'S',
      { ...logouts, floorAt: 99 },
      'floor',
    ],
    [
      'the logout of all sessions if it is the newest logout that covers the token',
      'session',
      'S',
      { ...logouts, user: { at: 30, allSessionsAt: 25 } },
      'all_sessions_logout',
    ],
    [
      'the end of the session, even if another logout is newer',
      'session',
      'S',
      { ...logouts, session: { at: 1, ended: true } },
      'session_ended',
    ],
  ])('the deciding logout is %s', (_case, policy, sessionId, knownLogouts, reason) => {
    const token = { subject: 'auth0|1', sessionId, loginAt: null }
    expect(findDecidingReason(token, knownLogouts, { policy })).toBe(reason)
    // A login after all logouts does not change which logout decides.
    expect(findDecidingReason({ ...token, loginAt: 100 }, knownLogouts, { policy })).toBe(reason)
  })

  test('there is no deciding logout for a machine token', () => {
    const token = { subject: 'app@clients', sessionId: null, loginAt: 1 }
    expect(findDecidingReason(token, { ...noLogout, floorAt: 5 }, { policy: 'session' })).toBeNull()
  })

  test('for a revoked token, findDecidingReason returns the reason that judge returns', () => {
    const instant = fc.integer({ min: 0, max: 9 })
    const anyLogouts = fc.record({
      user: fc.option(fc.record({ at: instant, allSessionsAt: fc.option(instant) })),
      session: fc.option(fc.record({ at: instant, ended: fc.boolean() })),
      floorAt: fc.option(instant),
    })
    const anyToken = fc.record({
      subject: fc.constant('auth0|1'),
      sessionId: fc.option(fc.constant('S')),
      loginAt: instant,
    })
    const anyPolicy = fc.constantFrom<Policy>('session', 'user')
    fc.assert(
      fc.property(anyToken, anyLogouts, anyPolicy, (token, knownLogouts, policy) => {
        const { revoked, reason } = judge(token, knownLogouts, { policy })
        const decidingReason = findDecidingReason(token, knownLogouts, { policy })
        if (revoked) expect(decidingReason).toBe(reason)
        else if (reason === 'no_logout') expect(decidingReason).toBeNull()
        else expect(decidingReason).not.toBeNull()
      }),
    )
  })
})
