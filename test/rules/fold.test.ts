import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { LogoutEvent } from '../../src/rules/entry.js'
import { fold } from '../../src/rules/fold.js'
import { expectedRows, logoutEvents, sortRows } from '../_support/expected-rows.js'

const logoutAt = (n: number, overrides: Partial<LogoutEvent> = {}): LogoutEvent => ({
  logId: `L${n}`,
  type: 'slo',
  at: 1_795_428_000_000 + n,
  userId: 'auth0|1',
  sessionId: 'S1',
  ...overrides,
})

test('a session logout moves the user row, ends the session, and does not affect other sessions', () => {
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

test('a session logout does not end the session if `endsSessions` is false', () => {
  const { sessions } = fold([logoutAt(1), logoutAt(2)], { endsSessions: false })
  expect(sessions).toMatchObject([{ sessionId: 'S1', at: logoutAt(2).at, ended: false }])
})

test('a late logout of all sessions counts for all sessions, even if a newer session logout was read before', () => {
  const { users } = fold([logoutAt(5), logoutAt(2, { sessionId: null })])
  expect(users).toMatchObject([{ at: logoutAt(5).at, allSessionsAt: logoutAt(2).at, logId: 'L5' }])
})

test('a session logout without a user id ends the session, and gets its user id from another entry', () => {
  const withoutUser = logoutAt(1, { userId: null })
  expect(fold([withoutUser])).toMatchObject({
    users: [],
    sessions: [{ userId: null, ended: true }],
  })
  expect(fold([withoutUser, logoutAt(0)])).toMatchObject({
    sessions: [{ userId: 'auth0|1', at: logoutAt(1).at }],
  })
})

test('if two events happened in the same millisecond, the event with the greater log id is kept, in any order', () => {
  const first = logoutAt(1, { logId: 'A' })
  const second = logoutAt(1, { logId: 'B', type: 'session_revoked' })
  expect(fold([first, second])).toEqual(fold([second, first]))
  expect(fold([first, second]).users).toMatchObject([{ logId: 'B', type: 'session_revoked' }])
})

test('fold returns the same rows as applying the events one by one, in any order and with repetitions (pitfall 19)', () => {
  fc.assert(
    fc.property(logoutEvents, fc.infiniteStream(fc.nat()), (events, random) => {
      const repeated = [...events, ...events.filter(() => (random.next().value ?? 0) % 2 === 0)]
      const shuffled = repeated
        .map((event) => ({ event, by: random.next().value ?? 0 }))
        .sort((a, b) => a.by - b.by)
        .map(({ event }) => event)
      expect(sortRows(fold(shuffled))).toEqual(expectedRows(events))
    }),
  )
})
