import { expect, test } from 'vitest'
import { readColumns } from '../../src/client/change-columns.js'

const NOON = Date.UTC(2026, 10, 23, 12)

const columns = {
  users: {
    user_id: ['auth0|1', 'auth0|2'],
    at_ms: [NOON, NOON + 1],
    all_sessions_at_ms: [null, NOON],
  },
  sessions: { session_id: ['S1'], user_id: [null], at_ms: [NOON], ended: [true] },
}

test('each row of the columns is a change', () => {
  expect(readColumns(columns)).toEqual([
    { kind: 'user', userId: 'auth0|1', at: NOON, allSessionsAt: null },
    { kind: 'user', userId: 'auth0|2', at: NOON + 1, allSessionsAt: NOON },
    { kind: 'session', sessionId: 'S1', userId: null, at: NOON, ended: true },
  ])
})

test.each<['users' | 'sessions', string]>([
  ['users', 'user_id'],
  ['users', 'at_ms'],
  ['users', 'all_sessions_at_ms'],
  ['sessions', 'session_id'],
  ['sessions', 'user_id'],
  ['sessions', 'at_ms'],
  ['sessions', 'ended'],
])('if a row of %s lacks its %s, the event is refused', (kind, field) => {
  for (const column of [[], undefined, null, 'text']) {
    const malformed = { ...columns, [kind]: { ...columns[kind], [field]: column } }
    expect(() => readColumns(malformed)).toThrow(
      expect.objectContaining({ code: 'NOT_UNDERSTOOD' }),
    )
  }
})
