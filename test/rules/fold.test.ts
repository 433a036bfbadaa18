import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { LogoutEvent } from '../../src/rules/entry.js'
import { fold } from '../../src/rules/fold.js'
import { expectedRows, logoutEvents, sortRows } from '../_support/expected-rows.js'

const at = (n: number, over: Partial<LogoutEvent> = {}): LogoutEvent => ({
  logId: `L${n}`,
  type: 'slo',
  at: 1_795_428_000_000 + n,
  userId: 'auth0|1',
  sessionId: 'S1',
  ...over,
})

test('a session logout moves the user row, ends the session, and does not affect other sessions', () => {
  expect(fold([at(1)])).toEqual({
    users: [{ userId: 'auth0|1', at: at(1).at, allSessionsAt: null, logId: 'L1', type: 'slo' }],
    sessions: [
      { sessionId: 'S1', userId: 'auth0|1', at: at(1).at, ended: true, logId: 'L1', type: 'slo' },
    ],
  })
})

test('an older logout of all sessions that arrives late still counts for all sessions', () => {
  const { users } = fold([at(5), at(2, { sessionId: null })])
  expect(users).toMatchObject([{ at: at(5).at, allSessionsAt: at(2).at, logId: 'L5' }])
})

test('a session without a user id ends, and takes its user id from another entry', () => {
  const alone = at(1, { userId: null })
  expect(fold([alone])).toMatchObject({ users: [], sessions: [{ userId: null, ended: true }] })
  expect(fold([alone, at(0)])).toMatchObject({ sessions: [{ userId: 'auth0|1', at: at(1).at }] })
})

test('if two events happened in the same millisecond, the event with the greater log id is kept, in any order', () => {
  const one = at(1, { logId: 'A' })
  const other = at(1, { logId: 'B', type: 'session_revoked' })
  expect(fold([one, other])).toEqual(fold([other, one]))
  expect(fold([one, other]).users).toMatchObject([{ logId: 'B', type: 'session_revoked' }])
})

test('folding gives the same rows as applying events one by one, in any order and with repetitions (P19)', () => {
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
