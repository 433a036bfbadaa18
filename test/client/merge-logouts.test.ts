import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { mergeLogouts } from '../../src/client/merge-logouts.js'
import { judge, type KnownLogouts } from '../../src/rules/judge.js'

const NOON = Date.UTC(2026, 10, 23, 12)

const instant = fc.integer({ min: NOON - 3, max: NOON + 3 })
const anyLogouts: fc.Arbitrary<KnownLogouts> = fc.record({
  user: fc.option(fc.record({ at: instant, allSessionsAt: fc.option(instant) })),
  session: fc.option(fc.record({ at: instant, ended: fc.boolean() })),
  floorAt: fc.option(instant),
})

describe('logouts from two sources', () => {
  test('a token is revoked by the merged logouts if and only if the logouts of one source revoke it', () => {
    const token = fc.record({
      subject: fc.constant('auth0|1'),
      sessionId: fc.constantFrom('S1', null),
      loginAt: fc.option(instant),
    })
    const policy = fc.constantFrom('session' as const, 'user' as const)
    fc.assert(
      fc.property(anyLogouts, anyLogouts, token, policy, (a, b, anyToken, anyPolicy) => {
        const isRevoked = (logouts: KnownLogouts) =>
          judge(anyToken, logouts, { policy: anyPolicy }).revoked
        expect(isRevoked(mergeLogouts(a, b))).toBe(isRevoked(a) || isRevoked(b))
      }),
    )
  })

  test('the order of the sources does not matter, and merging again changes nothing', () => {
    fc.assert(
      fc.property(anyLogouts, anyLogouts, (a, b) => {
        const merged = mergeLogouts(a, b)
        expect(mergeLogouts(b, a)).toEqual(merged)
        expect(mergeLogouts(merged, a)).toEqual(merged)
      }),
    )
  })
})
