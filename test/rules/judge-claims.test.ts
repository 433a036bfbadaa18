import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { judge, type KnownLogouts, type Policy } from '../../src/rules/judge.js'
import { judgeClaims } from '../../src/rules/judge-claims.js'
import { claimNames, isMachine, readToken } from '../../src/rules/token.js'

const AT = 1_795_428_000
const LOGOUT = AT * 1000
const OURS = claimNames()
const none: KnownLogouts = { user: null, session: null, floorAt: null }
const user = { ...none, user: { at: LOGOUT, allSessionsAt: LOGOUT } }
const ended = { ...none, session: { at: LOGOUT, ended: true } }
const reported = { ...none, session: { at: LOGOUT, ended: false } }
const floor = { ...none, floorAt: LOGOUT }

const judged = (claims: Record<string, unknown>, known: KnownLogouts) =>
  judgeClaims(readToken(claims), known, { policy: 'session' })

describe('a token with an unreadable login', () => {
  const claims = { sub: 'auth0|1', sid: 'S', iat: LOGOUT + 60_000 }
  test.each<[string, KnownLogouts, boolean | null, string]>([
    ['is undecided if no logout is known', none, null, 'login_unreadable'],
    ['is revoked by a logout of its user', user, true, 'login_unknown'],
    ['is revoked by the floor', floor, true, 'login_unknown'],
    [
      'is revoked by the end of its session before any other reason',
      { ...user, ...ended },
      true,
      'session_ended',
    ],
  ])('%s', (_what, known, revoked, reason) => {
    expect(judged(claims, known)).toMatchObject({ revoked, reason })
  })

  test('is not revoked if it is a machine token', () => {
    const machine = { ...claims, sub: 'abc@clients' }
    expect(judged(machine, { ...user, ...floor })).toMatchObject({
      revoked: false,
      reason: 'machine_token',
    })
  })
})

test.each<[string, KnownLogouts, boolean, string]>([
  ['accepted if no logout is known', none, false, 'no_logout'],
  ['revoked by a logout that covers it', user, true, 'login_unknown'],
])('a token without a login claim is %s', (_what, known, revoked, reason) => {
  expect(judged({ sub: 'auth0|1' }, known)).toMatchObject({ revoked, reason })
})

describe('a token without a subject', () => {
  const before = { sid: 'S', iat: AT - 60 }
  test.each<[string, Record<string, unknown>, KnownLogouts, boolean | null, string]>([
    ['is undecided if no logout is known', before, none, null, 'no_subject'],
    ['is revoked if its session has ended', before, ended, true, 'session_ended'],
    ['is revoked by a logout of its session', before, reported, true, 'session_logout'],
    ['is revoked by the floor', before, floor, true, 'floor'],
    ['is undecided if it is later than the floor', { iat: AT + 60 }, floor, null, 'no_subject'],
    ['is revoked by the floor if it has no login', {}, floor, true, 'login_unknown'],
    ['is not affected by the logout of a user', before, user, null, 'no_subject'],
  ])('%s', (_what, claims, known, revoked, reason) => {
    expect(judged(claims, known)).toMatchObject({ revoked, reason })
  })
})

test('a token with an unreadable session is judged like one without a session', () => {
  const known = { ...none, user: { at: LOGOUT, allSessionsAt: null } }
  const claims = { sub: 'auth0|1', iat: AT - 60 }
  expect(judged({ ...claims, [OURS.sessionId]: 'other' }, known)).toMatchObject({ revoked: false })
  expect(judged({ ...claims, [OURS.sessionId]: 5, sid: 'other' }, known)).toMatchObject({
    revoked: true,
    reason: 'user_logout',
  })
})

describe('for any claims', () => {
  /** Values that gateways and libraries produce, and any other JSON value. */
  const value = fc.oneof(
    fc.integer({ min: AT - 9, max: AT + 9 }),
    fc.integer({ min: AT - 9, max: AT + 9 }).map(String),
    fc.integer({ min: LOGOUT - 9, max: LOGOUT + 9 }),
    fc.integer({ min: LOGOUT - 9, max: LOGOUT + 9 }).map(String),
    fc.constantFrom(null, undefined, '', 'S', true, 'auth0|1', 'abc@clients'),
    fc.jsonValue(),
  )
  const names = ['sub', OURS.sessionId, 'sid', OURS.authenticatedAt, 'auth_time', 'iat', 'payload']
  const shapes = fc.record(Object.fromEntries(names.map((name) => [name, value])), {
    requiredKeys: [],
  })
  const instant = fc.integer({ min: LOGOUT - 9_000, max: LOGOUT + 9_000 })
  const logouts = fc.record({
    user: fc.option(fc.record({ at: instant, allSessionsAt: fc.option(instant) })),
    session: fc.option(fc.record({ at: instant, ended: fc.boolean() })),
    floorAt: fc.option(instant),
  })
  const policies = fc.constantFrom<Policy>('session', 'user')

  test('judging never throws, and never accepts an unreadable login or subject', () => {
    fc.assert(
      fc.property(shapes, logouts, policies, (claims, known, policy) => {
        const token = readToken(claims)
        const { revoked, reason } = judgeClaims(token, known, { policy })
        const login = [OURS.authenticatedAt, 'auth_time', 'iat'].find(
          (name) => claims[name] !== undefined,
        )
        const isUnreadable = login !== undefined && token.loginAt === null
        if (token.subject !== null && isMachine(token.subject)) {
          expect(reason).toBe('machine_token')
        } else if (token.subject === null || isUnreadable) {
          expect(revoked).not.toBe(false)
        } else {
          expect(revoked).not.toBe(null)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  test('a token with an unreadable login is revoked whenever a token with the earliest login is', () => {
    const machineOrUser = fc.constantFrom('auth0|1', 'abc@clients')
    fc.assert(
      fc.property(shapes, machineOrUser, logouts, policies, (claims, sub, known, policy) => {
        const token = readToken({ ...claims, sub, [OURS.authenticatedAt]: 'soon' })
        if (token.subject === null) throw new Error('it has a subject')
        const first = judge({ ...token, loginAt: Number.NEGATIVE_INFINITY }, known, { policy })
        expect(judgeClaims(token, known, { policy }).revoked === true).toBe(first.revoked)
      }),
    )
  })

  test('a time in seconds as a string is judged like the same number', () => {
    const seconds = fc.record(
      Object.fromEntries(
        [OURS.authenticatedAt, 'auth_time', 'iat'].map((name) => [
          name,
          fc.integer({ min: AT - 9, max: AT + 9 }),
        ]),
      ),
      { requiredKeys: [] },
    )
    const asText = (claims: object) =>
      Object.fromEntries(Object.entries(claims).map(([name, each]) => [name, String(each)]))
    fc.assert(
      fc.property(shapes, seconds, logouts, policies, (claims, times, known, policy) => {
        const byNumber = judgeClaims(readToken({ ...claims, ...times }), known, { policy })
        const byText = judgeClaims(readToken({ ...claims, ...asText(times) }), known, { policy })
        expect(byText).toEqual(byNumber)
      }),
    )
  })
})
