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

test('a gap concerns tokens until the last access token of the last refresh token from before its end has expired', () => {
  expect(concernedUntil({ to: GAP_END }, HORIZON_MS)).toBe(HORIZON_END)
})

test.each<[GapState, string, { floorAt: number | null; now: number }]>([
  ['open', 'when it is detected', { floorAt: null, now: GAP_END }],
  ['open', 'while the last token can be valid', { floorAt: null, now: HORIZON_END - 1 }],
  ['expired', 'when no token can be valid', { floorAt: null, now: HORIZON_END }],
  ['closed', 'if it ends at the floor', { floorAt: GAP_END, now: GAP_END }],
  ['open', 'if it ends one millisecond after the floor', { floorAt: GAP_END - 1, now: GAP_END }],
  ['open', 'if it ends long after the floor', { floorAt: GAP_END - 90 * DAY_MS, now: GAP_END }],
  [
    'closed',
    'if it ends at the floor, even when no token can be valid',
    { floorAt: GAP_END, now: HORIZON_END },
  ],
])('a gap is %s %s', (state, _when, moment) => {
  expect(stateOfGap({ to: GAP_END }, moment, HORIZON_MS)).toBe(state)
})

const READ_STATE = { asOf: GAP_END, isSwept: true, lastGapTo: GAP_END, floorAt: null, now: GAP_END }

test.each<[boolean, string, Partial<typeof READ_STATE> | object]>([
  [true, 'without a gap', { lastGapTo: null }],
  [false, 'before the first catch-up', { lastGapTo: null, asOf: null }],
  [false, 'while a part of the sweep is left', { lastGapTo: null, isSwept: false }],
  [false, 'with an open gap', {}],
  [false, 'one millisecond before the gap has expired', { now: HORIZON_END - 1 }],
  [true, 'when the gap has expired', { now: HORIZON_END }],
  [true, 'with a floor at the end of the gap', { floorAt: GAP_END }],
  [false, 'with a floor one millisecond before the end of the gap', { floorAt: GAP_END - 1 }],
  [false, 'with a closed gap and a part of the sweep left', { floorAt: GAP_END, isSwept: false }],
])('isComplete returns %s %s', (complete, _when, overrides) => {
  expect(isComplete({ ...READ_STATE, ...overrides }, HORIZON_MS)).toBe(complete)
})

test('a logout in a gap that is not open concerns no token that is valid and not revoked', () => {
  // The boundaries are the durations for which a token is valid for the longest time.
  const days = (...boundaries: number[]) =>
    fc.oneof(fc.integer({ min: 0, max: 40 * DAY_MS }), fc.constantFrom(0, 1, ...boundaries))
  fc.assert(
    fc.property(
      // The logout is before the end of the gap, and the login before the logout. The exchange is after the login.
      fc.record({
        logout: days(),
        login: days(),
        refreshedAfter: days(30 * DAY_MS),
        age: days(31 * DAY_MS - 2, 31 * DAY_MS - 1, 31 * DAY_MS),
        floor: days(10 * DAY_MS - 2, 10 * DAY_MS - 1),
      }),
      fc.boolean(),
      ({ logout, login, refreshedAfter, age, floor }, hasFloor) => {
        const logoutAt = GAP_END - 1 - logout
        const loginAt = logoutAt - login
        const issuedAt = loginAt + Math.min(refreshedAfter, LIFETIMES.maxRefreshAgeMs)
        const now = GAP_END + age
        const isValid = now < issuedAt + LIFETIMES.maxTokenAgeMs
        const floorAt = hasFloor ? GAP_END - 10 * DAY_MS + floor : null
        const token = { subject: 'auth0|1', sessionId: null, loginAt }
        const { revoked } = judge(token, { user: null, session: null, floorAt }, { policy: 'user' })
        // The token would be accepted, because the logout in the gap is unknown.
        if (isValid && !revoked) {
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
