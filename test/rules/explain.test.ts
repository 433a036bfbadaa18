import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { findDecidingReason } from '../../src/rules/explain.js'
import { judge, type KnownLogouts, type Policy } from '../../src/rules/judge.js'

describe('the deciding logout', () => {
  const none: KnownLogouts = { user: null, session: null, floorAt: null }
  const known: KnownLogouts = {
    user: { at: 30, allSessionsAt: 10 },
    session: { at: 20, ended: false },
    floorAt: 5,
  }
  test.each<[string, Policy, string | null, KnownLogouts, string | null]>([
    ['none if no logout is known', 'session', 'S', none, null],
    [
      'the logout of the session if it is the newest covering logout',
      'session',
      'S',
      known,
      'session_logout',
    ],
    ['the logout of the user under policy user', 'user', 'S', known, 'user_logout'],
    ['the logout of the user if the token has no session', 'session', null, known, 'user_logout'],
    ['the floor if it is the newest', 'session', 'S', { ...known, floorAt: 99 }, 'floor'],
    [
      'the logout of all sessions if it is the newest covering logout',
      'session',
      'S',
      { ...known, user: { at: 30, allSessionsAt: 25 } },
      'all_sessions_logout',
    ],
    [
      'the end of the session, even if another logout is newer',
      'session',
      'S',
      { ...known, session: { at: 1, ended: true } },
      'session_ended',
    ],
  ])('the deciding logout is %s', (_what, policy, sessionId, logouts, reason) => {
    const token = { subject: 'auth0|1', sessionId, loginAt: null }
    expect(findDecidingReason(token, logouts, { policy })).toBe(reason)
    // The same logout decides if the login is later than all logouts.
    expect(findDecidingReason({ ...token, loginAt: 1e9 }, logouts, { policy })).toBe(reason)
  })

  test('there is no deciding logout for a machine token', () => {
    const token = { subject: 'app@clients', sessionId: null, loginAt: 1 }
    expect(findDecidingReason(token, { ...none, floorAt: 5 }, { policy: 'session' })).toBeNull()
  })

  test('findDecidingReason returns the reason that judge returns for a revoked token', () => {
    const instant = fc.integer({ min: 0, max: 9 })
    const logouts = fc.record({
      user: fc.option(fc.record({ at: instant, allSessionsAt: fc.option(instant) })),
      session: fc.option(fc.record({ at: instant, ended: fc.boolean() })),
      floorAt: fc.option(instant),
    })
    const tokens = fc.record({
      subject: fc.constant('auth0|1'),
      sessionId: fc.option(fc.constant('S')),
      loginAt: instant,
    })
    fc.assert(
      fc.property(
        tokens,
        logouts,
        fc.constantFrom<Policy>('session', 'user'),
        (token, some, policy) => {
          const { revoked, reason } = judge(token, some, { policy })
          if (revoked) expect(findDecidingReason(token, some, { policy })).toBe(reason)
          else
            expect(findDecidingReason(token, some, { policy }) === null).toBe(
              reason === 'no_logout',
            )
        },
      ),
    )
  })
})
