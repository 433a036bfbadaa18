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

const DAY = 86_400_000
const LIFETIMES = { maxTokenAgeMs: DAY, maxRefreshAgeMs: 30 * DAY }
const TO = Date.UTC(2026, 10, 25)
const HORIZON = tokenHorizonMs(LIFETIMES)
const END = TO + 31 * DAY

test('a gap concerns tokens until the last access token of the last refresh token has expired', () => {
  expect(concernedUntil({ to: TO }, HORIZON)).toBe(END)
})

test.each<[string, { floorAt: number | null; now: number }, GapState]>([
  ['when it is found', { floorAt: null, now: TO }, 'open'],
  ['while the last token can be valid', { floorAt: null, now: END - 1 }, 'open'],
  ['from the moment at which none can be', { floorAt: null, now: END }, 'expired'],
  ['below the floor', { floorAt: TO, now: TO }, 'closed'],
  ['with a floor one millisecond below its end', { floorAt: TO - 1, now: TO }, 'open'],
  ['far above the floor', { floorAt: TO - 90 * DAY, now: TO }, 'open'],
  ['below the floor, and older than any token', { floorAt: TO, now: END }, 'closed'],
])('a gap %s', (_when, moment, state) => {
  expect(stateOfGap({ to: TO }, moment, HORIZON)).toBe(state)
})

const READ = { asOf: TO, isSwept: true, lastGapTo: TO, floorAt: null, now: TO }

test.each<[string, Partial<typeof READ> | object, boolean]>([
  ['without a gap', { lastGapTo: null }, true],
  ['before the first catch-up', { lastGapTo: null, asOf: null }, false],
  ['while a part of the sweep is left', { lastGapTo: null, isSwept: false }, false],
  ['with an open gap', {}, false],
  ['one millisecond before the gap has expired', { now: END - 1 }, false],
  ['when the gap has expired', { now: END }, true],
  ['with a floor at its end', { floorAt: TO }, true],
  ['with a floor one millisecond earlier', { floorAt: TO - 1 }, false],
  ['with a closed gap, and a part of the sweep left', { floorAt: TO, isSwept: false }, false],
])('the known logouts %s', (_when, over, complete) => {
  expect(isComplete({ ...READ, ...over }, HORIZON)).toBe(complete)
})

test('a logout in a gap that is not open concerns no token that is valid and not revoked', () => {
  // The boundaries are the cases in which a token lives longest.
  const days = (...boundaries: number[]) =>
    fc.oneof(fc.integer({ min: 0, max: 40 * DAY }), fc.constantFrom(0, 1, ...boundaries))
  fc.assert(
    fc.property(
      // Backwards from the end of the gap: the logout and the login. Forwards: the exchange, and now.
      fc.record({
        logout: days(),
        login: days(),
        refreshedAfter: days(30 * DAY),
        age: days(31 * DAY - 2, 31 * DAY - 1, 31 * DAY),
        floor: days(10 * DAY - 2, 10 * DAY - 1),
      }),
      fc.boolean(),
      ({ logout, login, refreshedAfter, age, floor }, hasFloor) => {
        const logoutAt = TO - 1 - logout
        const loginAt = logoutAt - login
        const issuedAt = loginAt + Math.min(refreshedAfter, LIFETIMES.maxRefreshAgeMs)
        const now = TO + age
        const isValid = now < issuedAt + LIFETIMES.maxTokenAgeMs
        const floorAt = hasFloor ? TO - 10 * DAY + floor : null
        const token = { subject: 'auth0|1', sessionId: null, loginAt }
        const { revoked } = judge(token, { user: null, session: null, floorAt }, { policy: 'user' })
        // Without the logout of the gap, it would be accepted.
        if (isValid && !revoked) {
          expect(stateOfGap({ to: TO }, { floorAt, now }, HORIZON)).toBe('open')
        }
      },
    ),
    { numRuns: 5_000 },
  )
})

test('if the gap that ends last is not open, no other one is', () => {
  const instants = fc.integer({ min: TO - 90 * DAY, max: TO + 90 * DAY })
  fc.assert(
    fc.property(
      fc.array(instants, { minLength: 1 }),
      fc.option(instants),
      instants,
      (ends, floorAt, now) => {
        const isOpen = (to: number) => stateOfGap({ to }, { floorAt, now }, HORIZON) === 'open'
        expect(ends.some(isOpen)).toBe(isOpen(Math.max(...ends)))
      },
    ),
  )
})
