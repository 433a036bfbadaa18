import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { LogoutEvent } from '../../src/rules/entry.js'
import { fold } from '../../src/rules/fold.js'
import { expectedRows, logoutEvents, sortRows } from '../_support/expected-rows.js'

// `fold` merges logouts into the rows to store: one row per user, and one row per session.

const START_MS = Date.parse('2026-11-23T10:00:00Z')

/**
 * Creates a logout of the session `S1` that happened this number of milliseconds after `START_MS`. With the session id
 * `null`, it is a logout of all sessions.
 */
const logoutAt = (ms: number, overrides: Partial<LogoutEvent> = {}): LogoutEvent => ({
  logId: `L${ms}`,
  type: 'slo',
  at: START_MS + ms,
  userId: 'auth0|1',
  sessionId: 'S1',
  ...overrides,
})

test('the logout of a session changes the row of its user, and marks only this session as ended', () => {
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

test('the logout of a session does not mark the session as ended if `endsSessions` is false', () => {
  const { sessions } = fold([logoutAt(1), logoutAt(2)], { endsSessions: false })
  expect(sessions).toMatchObject([{ sessionId: 'S1', at: logoutAt(2).at, ended: false }])
})

test('the row of a user contains both the newest logout and an older logout of all sessions', () => {
  const { users } = fold([logoutAt(5), logoutAt(2, { sessionId: null })])
  expect(users).toMatchObject([{ at: logoutAt(5).at, allSessionsAt: logoutAt(2).at, logId: 'L5' }])
})

test('a logout without a user id ends its session, and another logout of the session adds the user id', () => {
  const withoutUser = logoutAt(1, { userId: null })
  expect(fold([withoutUser])).toMatchObject({
    users: [],
    sessions: [{ userId: null, ended: true }],
  })
  expect(fold([withoutUser, logoutAt(0)])).toMatchObject({
    sessions: [{ userId: 'auth0|1', at: logoutAt(1).at }],
  })
})

test('of two logouts in the same millisecond, fold keeps the logout with the greater log id', () => {
  const first = logoutAt(1, { logId: 'A' })
  const second = logoutAt(1, { logId: 'B', type: 'session_revoked' })
  expect(fold([first, second])).toEqual(fold([second, first]))
  expect(fold([first, second]).users).toMatchObject([{ logId: 'B', type: 'session_revoked' }])
})

test('fold returns the same rows for any order of the logouts, and with duplicates (pitfall 19)', () => {
  fc.assert(
    fc.property(logoutEvents, fc.infiniteStream(fc.nat()), (events, random) => {
      const nextRandom = () => random.next().value ?? 0
      const randomHalf = events.filter(() => nextRandom() % 2 === 0)
      const withDuplicates = [...events, ...randomHalf]
      const shuffledEvents = withDuplicates
        .map((event) => ({ event, position: nextRandom() }))
        .sort((a, b) => a.position - b.position)
        .map(({ event }) => event)
      expect(sortRows(fold(shuffledEvents))).toEqual(expectedRows(events))
    }),
  )
})
