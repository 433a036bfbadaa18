import { describe, expect, test } from 'vitest'
import { readFeedEvent } from '../../src/client/feed-events.js'

const AT = '2026-11-23T10:00:00.123Z'
const AT_MS = Date.parse(AT)
const USER = { kind: 'user', user_id: 'auth0|1', at: AT, all_sessions_at: null, type: 'slo' }
const SESSION = { kind: 'session', session_id: 'S1', user_id: null, at: AT, ended: true }

const FORGOTTEN_USER = {
  kind: 'forgotten_user',
  key: 'K',
  user_hash: 'H',
  at: AT,
  all_sessions_at: null,
}
const FORGOTTEN_SESSION = {
  kind: 'forgotten_session',
  key: 'K',
  session_hash: 'H',
  at: AT,
  ended: true,
}

/** Reads an event. Its id is the cursor of the feed. */
const read = (name: string, data: object, id: string | null = 'f.1') =>
  readFeedEvent({ name, data: JSON.stringify(data), id })

describe('an event of the change feed', () => {
  test.each([
    ['user', USER, { kind: 'user', userId: 'auth0|1', at: AT_MS, allSessionsAt: null }],
    [
      'user, with a logout of all sessions',
      { ...USER, all_sessions_at: AT },
      { kind: 'user', userId: 'auth0|1', at: AT_MS, allSessionsAt: AT_MS },
    ],
    [
      'session',
      SESSION,
      { kind: 'session', sessionId: 'S1', userId: null, at: AT_MS, ended: true },
    ],
    [
      'session, with the user of the session',
      { ...SESSION, user_id: 'auth0|1' },
      { kind: 'session', sessionId: 'S1', userId: 'auth0|1', at: AT_MS, ended: true },
    ],
    ['floor', { kind: 'floor', at: AT }, { kind: 'floor', at: AT_MS }],
    [
      'forgotten_user',
      FORGOTTEN_USER,
      { kind: 'forgotten_user', key: 'K', userHash: 'H', at: AT_MS, allSessionsAt: null },
    ],
    [
      'forgotten_session',
      FORGOTTEN_SESSION,
      { kind: 'forgotten_session', key: 'K', sessionHash: 'H', at: AT_MS, ended: true },
    ],
  ])('readFeedEvent reads a change of kind %s', (_kind, data, change) => {
    expect(read('change', data)).toEqual({ kind: 'change', change, cursor: 'f.1' })
  })

  test('an event without an id has no cursor', () => {
    expect(read('change', USER, null).cursor).toBeNull()
  })

  test('readFeedEvent reads a reset, whose empty id is not a cursor', () => {
    expect(read('reset', {}, '')).toEqual({ kind: 'reset', cursor: null })
  })

  test('readFeedEvent reads a freshness event', () => {
    expect(read('freshness', { as_of: AT, lag_ms: 800, policy: 'user' })).toEqual({
      kind: 'freshness',
      freshness: { asOf: AT_MS, lagMs: 800, policy: 'user' },
      cursor: 'f.1',
    })
  })

  test.each([
    ['event', 'notice', {}],
    ['kind of change', 'change', { kind: 'client', at: AT }],
  ])(
    'readFeedEvent returns the kind `other` and the cursor for an unknown %s',
    (_case, name, data) => {
      expect(read(name, data)).toEqual({ kind: 'other', cursor: 'f.1' })
    },
  )

  test.each<[string, string, object]>([
    ['user_id', 'change', { ...USER, user_id: 4711 }],
    ['session_id', 'change', { ...SESSION, session_id: undefined }],
    ['at', 'change', { ...USER, at: 'never' }],
    ['at', 'change', { kind: 'floor' }],
    ['all_sessions_at', 'change', { ...USER, all_sessions_at: undefined }],
    ['key', 'change', { ...FORGOTTEN_USER, key: null }],
    ['user_hash', 'change', { ...FORGOTTEN_USER, user_hash: 1 }],
    ['session_hash', 'change', { ...FORGOTTEN_SESSION, session_hash: undefined }],
    ['policy', 'freshness', { as_of: AT, lag_ms: 0 }],
    ['as_of', 'freshness', { as_of: 'never', lag_ms: 0, policy: 'user' }],
  ])('the error for an event with a malformed %s names the field', (field, name, data) => {
    expect(() => read(name, data)).toThrow(
      expect.objectContaining({
        code: 'NOT_UNDERSTOOD',
        message: expect.stringContaining(
          `event in which the field ${field} is missing or malformed: `,
        ),
      }),
    )
  })

  test('the error for an event that is not JSON does not contain the data of the event', () => {
    const data = '{"user_id":"auth0|1"'
    expect(() => readFeedEvent({ name: 'change', data, id: null })).toThrow(
      expect.objectContaining({
        code: 'NOT_UNDERSTOOD',
        message: expect.not.stringContaining('auth0'),
      }),
    )
  })
})
