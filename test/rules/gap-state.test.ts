import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  concernedUntil,
  type GapState,
  isComplete,
  stateOfGap,
  tokenHorizonMs,
} from '../../src/rules/gap-state.js'
import { judge } from '../../src/rules/judge.js'

const DAY_MS = 86_400_000
const LIFETIMES = { maxTokenAgeMs: DAY_MS, maxRefreshAgeMs: 30 * DAY_MS }
const GAP_END = Date.UTC(2026, 10, 25)
const HORIZON_MS = tokenHorizonMs(LIFETIMES)
const HORIZON_END = GAP_END + 31 * DAY_MS

test('after its end, a gap concerns tokens for the lifetime of a refresh token plus the lifetime of an access token', () => {
  expect(concernedUntil({ to: GAP_END }, HORIZON_MS)).toBe(HORIZON_END)
})

test.each<[GapState, string, { floorAt: number | null; now: number }]>([
  ['open', 'when it is detected', { floorAt: null, now: GAP_END }],
  ['open', 'while the last token can be valid', { floorAt: null, now: HORIZON_END - 1 }],
  ['expired', 'when no token can be valid', { floorAt: null, now: HORIZON_END }],
  ['closed', 'if its end is at the floor', { floorAt: GAP_END, now: GAP_END }],
  ['open', 'if its end is a millisecond after the floor', { floorAt: GAP_END - 1, now: GAP_END }],
  ['open', 'if its end is long after the floor', { floorAt: GAP_END - 90 * DAY_MS, now: GAP_END }],
  [
    'closed',
    'if its end is at the floor, even when no token can be valid',
    { floorAt: GAP_END, now: HORIZON_END },
  ],
])('a gap is %s %s', (state, _case, moment) => {
  expect(stateOfGap({ to: GAP_END }, moment, HORIZON_MS)).toBe(state)
})

/** Everything has been read, except for one open gap. */
const COVERAGE = { asOf: GAP_END, isSwept: true, lastGapTo: GAP_END, floorAt: null, now: GAP_END }

test.each<[boolean, string, Partial<typeof COVERAGE> | object]>([
  [true, 'without a gap', { lastGapTo: null }],
  [false, 'before the log has been read to its end', { lastGapTo: null, asOf: null }],
  [false, 'before the sweep is complete', { lastGapTo: null, isSwept: false }],
  [false, 'with an open gap', {}],
  [false, 'one millisecond before the gap has expired', { now: HORIZON_END - 1 }],
  [true, 'when the gap has expired', { now: HORIZON_END }],
  [true, 'with a floor at the end of the gap', { floorAt: GAP_END }],
  [false, 'with a floor one millisecond before the end of the gap', { floorAt: GAP_END - 1 }],
  [false, 'with a closed gap before the sweep is complete', { floorAt: GAP_END, isSwept: false }],
])('isComplete returns %s %s', (complete, _case, overrides) => {
  expect(isComplete({ ...COVERAGE, ...overrides }, HORIZON_MS)).toBe(complete)
})

test('a token that a logout in a gap would revoke is accepted only while the gap is open', () => {
  /** Any duration up to 40 days. Durations at the boundaries are frequent. */
  const durationMs = (...boundaries: number[]) =>
    fc.oneof(fc.integer({ min: 0, max: 40 * DAY_MS }), fc.constantFrom(0, 1, ...boundaries))
  fc.assert(
    fc.property(
      fc.record({
        fromLogoutToGapEnd: durationMs(),
        fromLoginToLogout: durationMs(),
        fromLoginToIssue: durationMs(30 * DAY_MS),
        fromGapEndToNow: durationMs(31 * DAY_MS - 2, 31 * DAY_MS - 1, 31 * DAY_MS),
        floorOffset: durationMs(10 * DAY_MS - 2, 10 * DAY_MS - 1),
      }),
      fc.boolean(),
      (durations, hasFloor) => {
        const logoutAt = GAP_END - 1 - durations.fromLogoutToGapEnd
        const loginAt = logoutAt - durations.fromLoginToLogout
        const refreshAgeMs = Math.min(durations.fromLoginToIssue, LIFETIMES.maxRefreshAgeMs)
        const expiresAt = loginAt + refreshAgeMs + LIFETIMES.maxTokenAgeMs
        const now = GAP_END + durations.fromGapEndToNow
        const floorAt = hasFloor ? GAP_END - 10 * DAY_MS + durations.floorOffset : null
        const token = { subject: 'auth0|1', sessionId: null, loginAt }
        // The logout in the gap is unknown.
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
