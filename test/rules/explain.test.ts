import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decidedBy, sourcesOf } from '../../src/rules/explain.js'
import { judge, type KnownLogouts, type Policy } from '../../src/rules/judge.js'
import { claimNames, readToken } from '../../src/rules/token.js'

const AT = 1_795_428_000
const OURS = claimNames()

describe('the claims that a token is read from', () => {
  test.each<[string, Record<string, unknown>, string | null, string | null]>([
    ['none', {}, null, null],
    ['iat alone', { iat: AT }, null, 'iat'],
    ['auth_time before iat', { iat: AT, auth_time: AT }, null, 'auth_time'],
    [
      'those of the Action before all',
      { iat: AT, auth_time: AT, [OURS.authenticatedAt]: AT, sid: 'S', [OURS.sessionId]: 'S' },
      OURS.sessionId,
      OURS.authenticatedAt,
    ],
    ['sid without that of the Action', { sid: 'S' }, 'sid', null],
    ['not what cannot be read', { [OURS.authenticatedAt]: 'soon', iat: AT }, null, 'iat'],
    ['not an empty session', { [OURS.sessionId]: '', sid: 'S' }, 'sid', null],
  ])('are %s', (_what, claims, session, login) => {
    expect(sourcesOf(claims)).toEqual({ session, login })
  })

  test('may be in another namespace', () => {
    const names = claimNames('https://api.example/')
    const claims = { 'https://api.example/session_id': 'S', [OURS.sessionId]: 'T' }
    expect(sourcesOf(claims, names).session).toBe('https://api.example/session_id')
  })

  test('are those that the rules go by, whatever is in them', () => {
    const value = fc.option(fc.oneof(fc.integer({ min: AT, max: AT + 9 }), fc.string()))
    const claims = fc.record(
      Object.fromEntries(
        [OURS.sessionId, OURS.authenticatedAt, 'sid', 'auth_time', 'iat'].map((n) => [n, value]),
      ),
    )
    fc.assert(
      fc.property(claims, (some) => {
        const { session, login } = sourcesOf(some)
        const only = {
          sub: 'a',
          [session ?? '']: some[session ?? ''],
          [login ?? '']: some[login ?? ''],
        }
        expect(readToken(only)).toEqual(readToken({ sub: 'a', ...some }))
      }),
    )
  })
})

describe('the logout that decides', () => {
  const none: KnownLogouts = { user: null, session: null, floorAt: null }
  const known: KnownLogouts = {
    user: { at: 30, allSessionsAt: 10 },
    session: { at: 20, ended: false },
    floorAt: 5,
  }
  test.each<[string, Policy, string | null, KnownLogouts, string | null]>([
    ['nothing, where none is known', 'session', 'S', none, null],
    ["the session's, where it is the newest that covers", 'session', 'S', known, 'session_logout'],
    ["the user's, under policy user", 'user', 'S', known, 'user_logout'],
    ["the user's, without a session", 'session', null, known, 'user_logout'],
    ['the floor, where it is the newest', 'session', 'S', { ...known, floorAt: 99 }, 'floor'],
    [
      'the logout of all sessions, where it is the newest that covers',
      'session',
      'S',
      { ...known, user: { at: 30, allSessionsAt: 25 } },
      'all_sessions_logout',
    ],
    [
      'the end of the session, whatever else is newer',
      'session',
      'S',
      { ...known, session: { at: 1, ended: true } },
      'session_ended',
    ],
  ])('is %s', (_what, policy, sessionId, logouts, reason) => {
    const token = { subject: 'auth0|1', sessionId, loginAt: null }
    expect(decidedBy(token, logouts, { policy })).toBe(reason)
    // Also of a login that is later than all of them.
    expect(decidedBy({ ...token, loginAt: 1e9 }, logouts, { policy })).toBe(reason)
  })

  test('is none for a machine token', () => {
    const token = { subject: 'app@clients', sessionId: null, loginAt: 1 }
    expect(decidedBy(token, { ...none, floorAt: 5 }, { policy: 'session' })).toBeNull()
  })

  test('is the one that judge names, whenever it revokes by one', () => {
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
          if (revoked) expect(decidedBy(token, some, { policy })).toBe(reason)
          else expect(decidedBy(token, some, { policy }) === null).toBe(reason === 'no_logout')
        },
      ),
    )
  })
})
