import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  concernedUntil,
  type GapState,
  isComplete,
  stateOfGap,
  tokenHorizonMs,
} from '../../src/rules/gap-state.js'
import { DAY_MS } from '../../src/rules/instant.js'
import { judge } from '../../src/rules/judge.js'

// A gap is a span of the log that Auth0 deleted before last-logout read it. The logouts in a gap are unknown. A gap is
// open while such a logout could concern a valid token. The floor is an instant for the whole tenant: it revokes the
// tokens of all logins up to this instant.

const LIFETIMES = { maxTokenAgeMs: DAY_MS, maxRefreshAgeMs: 30 * DAY_MS }
const GAP_END = Date.UTC(2026, 10, 25)
/** How long after its login a token can be valid: the sum of both lifetimes. */
const HORIZON_MS = tokenHorizonMs(LIFETIMES)
/** From this instant on, every token from a login before the end of the gap has expired. */
const HORIZON_END = GAP_END + 31 * DAY_MS

test('after its end, a gap concerns tokens for the lifetime of a refresh token plus the lifetime of an access token', () => {
  expect(concernedUntil({ to: GAP_END }, HORIZON_MS)).toBe(HORIZON_END)
})

test.each<[state: GapState, caseName: string, context: { floorAt: number | null; now: number }]>([
  ['open', 'when it is detected', { floorAt: null, now: GAP_END }],
  [
    'open',
    'while a token from before its end can be valid',
    { floorAt: null, now: HORIZON_END - 1 },
  ],
  [
    'expired',
    'when no token from before its end can be valid',
    { floorAt: null, now: HORIZON_END },
  ],
  ['closed', 'if its end is at the floor', { floorAt: GAP_END, now: GAP_END }],
  ['open', 'if its end is a millisecond after the floor', { floorAt: GAP_END - 1, now: GAP_END }],
  ['open', 'if its end is long after the floor', { floorAt: GAP_END - 90 * DAY_MS, now: GAP_END }],
  [
    'closed',
    'if its end is at the floor, even when no token from before its end can be valid',
    { floorAt: GAP_END, now: HORIZON_END },
  ],
])('a gap is %s %s', (state, _case, context) => {
  expect(stateOfGap({ to: GAP_END }, context, HORIZON_MS)).toBe(state)
})

/** How much of the log has been read: everything except for one gap, which is open. */
const COVERAGE = { asOf: GAP_END, isSwept: true, lastGapTo: GAP_END, floorAt: null, now: GAP_END }

test.each<[isLogComplete: boolean, caseName: string, overrides: object]>([
  [true, 'without a gap', { lastGapTo: null }],
  [false, 'before the log has been read to its end', { lastGapTo: null, asOf: null }],
  [
    false,
    'before the sweep, the search for older logouts, is complete',
    { lastGapTo: null, isSwept: false },
  ],
  [false, 'with an open gap', {}],
  [false, 'one millisecond before the gap has expired', { now: HORIZON_END - 1 }],
  [true, 'when the gap has expired', { now: HORIZON_END }],
  [true, 'with a floor at the end of the gap', { floorAt: GAP_END }],
  [false, 'with a floor one millisecond before the end of the gap', { floorAt: GAP_END - 1 }],
  [false, 'with a closed gap before the sweep is complete', { floorAt: GAP_END, isSwept: false }],
])('isComplete returns %s %s', (isLogComplete, _case, overrides) => {
  expect(isComplete({ ...COVERAGE, ...overrides }, HORIZON_MS)).toBe(isLogComplete)
})

test('a token that a logout in a gap would revoke is accepted only while the gap is open', () => {
  /** Generates durations of up to 40 days, often 0, 1 or one of `boundaries`. */
  const durationMs = (...boundaries: number[]) =>
    fc.oneof(fc.integer({ min: 0, max: 40 * DAY_MS }), fc.constantFrom(0, 1, ...boundaries))
  fc.assert(
    fc.property(
      fc.record({
        fromLogoutToGapEnd: durationMs(),
        fromLoginToLogout: durationMs(),
        fromLoginToIssue: durationMs(30 * DAY_MS),
        fromGapEndToNow: durationMs(31 * DAY_MS - 2, 31 * DAY_MS - 1, 31 * DAY_MS),
        // The earliest floor is 10 days before the end of the gap.
        fromEarliestFloorToFloor: durationMs(10 * DAY_MS - 2, 10 * DAY_MS - 1),
      }),
      fc.boolean(),
      (durations, hasFloor) => {
        const logoutAt = GAP_END - 1 - durations.fromLogoutToGapEnd
        const loginAt = logoutAt - durations.fromLoginToLogout
        const refreshAgeMs = Math.min(durations.fromLoginToIssue, LIFETIMES.maxRefreshAgeMs)
        const expiresAt = loginAt + refreshAgeMs + LIFETIMES.maxTokenAgeMs
        const now = GAP_END + durations.fromGapEndToNow
        const floorAt = hasFloor ? GAP_END - 10 * DAY_MS + durations.fromEarliestFloorToFloor : null
        const token = { subject: 'auth0|1', sessionId: null, loginAt }
        // The logout in the gap is unknown, so only the floor can revoke the token.
        const { revoked } = judge(token, { user: null, session: null, floorAt }, { policy: 'user' })
        const isAccepted = now < expiresAt && !revoked
        if (isAccepted) {
          expect(stateOfGap({ to: GAP_END }, { floorAt, now }, HORIZON_MS)).toBe('open')
        }
      },
    ),
    { numRuns: 5_000 },
  )
})

test('if the gap with the latest end is not open, no other gap is open', () => {
  const instants = fc.integer({ min: GAP_END - 90 * DAY_MS, max: GAP_END + 90 * DAY_MS })
  fc.assert(
    fc.property(
      fc.array(instants, { minLength: 1 }),
      fc.option(instants),
      instants,
      (ends, floorAt, now) => {
        const isOpen = (to: number) => stateOfGap({ to }, { floorAt, now }, HORIZON_MS) === 'open'
        expect(ends.some(isOpen)).toBe(isOpen(Math.max(...ends)))
      },
    ),
  )
})
