import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { LogoutEvent } from '../../src/rules/entry.js'
import { fold } from '../../src/rules/fold.js'
import { expectedRows, logoutEvents, sortRows } from '../_support/expected-rows.js'

/** Returns a logout that happened this number of milliseconds after a fixed instant. */
const logoutAt = (ms: number, overrides: Partial<LogoutEvent> = {}): LogoutEvent => ({
  logId: `L${ms}`,
  type: 'slo',
  at: 1_795_428_000_000 + ms,
  userId: 'auth0|1',
  sessionId: 'S1',
  ...overrides,
})

test('a session logout changes the row of the user and ends only its session', () => {
  expect(fold([logoutAt(1)])).toEqual({
    users: [
      { userId: 'auth0|1', at: logoutAt(1).at, allSessionsAt: null, logId: 'L1', type: 'slo' },
    ],
    sessions: [
      {
        sessionId: 'S1',
        userId: 'auth0|1',
        at: logoutAt(1).at,
        ended: true,
        logId: 'L1',
        type: 'slo',
      },
    ],
  })
})

test('a session logout does not mark the session as ended if `endsSessions` is false', () => {
  const { sessions } = fold([logoutAt(1), logoutAt(2)], { endsSessions: false })
  expect(sessions).toMatchObject([{ sessionId: 'S1', at: logoutAt(2).at, ended: false }])
})

test('an older logout of all sessions is kept beside a newer logout of one session', () => {
  const { users } = fold([logoutAt(5), logoutAt(2, { sessionId: null })])
  expect(users).toMatchObject([{ at: logoutAt(5).at, allSessionsAt: logoutAt(2).at, logId: 'L5' }])
})

test('a session logout without a user id ends the session, and another entry adds the user id', () => {
  const withoutUser = logoutAt(1, { userId: null })
  expect(fold([withoutUser])).toMatchObject({
    users: [],
    sessions: [{ userId: null, ended: true }],
  })
  expect(fold([withoutUser, logoutAt(0)])).toMatchObject({
    sessions: [{ userId: 'auth0|1', at: logoutAt(1).at }],
  })
})

test('of two events in the same millisecond, fold keeps the event with the greater log id', () => {
  const first = logoutAt(1, { logId: 'A' })
  const second = logoutAt(1, { logId: 'B', type: 'session_revoked' })
  expect(fold([first, second])).toEqual(fold([second, first]))
  expect(fold([first, second]).users).toMatchObject([{ logId: 'B', type: 'session_revoked' }])
})

test('the order of the events and duplicates do not change the rows (pitfall 19)', () => {
  fc.assert(
    fc.property(logoutEvents, fc.infiniteStream(fc.nat()), (events, random) => {
      const nextRandom = () => random.next().value ?? 0
      const withDuplicates = [...events, ...events.filter(() => nextRandom() % 2 === 0)]
      const shuffledEvents = withDuplicates
        .map((event) => ({ event, position: nextRandom() }))
        .sort((a, b) => a.position - b.position)
        .map(({ event }) => event)
      expect(sortRows(fold(shuffledEvents))).toEqual(expectedRows(events))
    }),
  )
})
