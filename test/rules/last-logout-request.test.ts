import { describe, expect, test } from 'vitest'
import {
  chooseForm,
  isAbout,
  isOwnNotFound,
  lastLogoutPath,
} from '../../src/rules/last-logout-request.js'

// A client requests the last logout of a user from last-logout. The path of the request has two forms: with the user id
// in the query, or in the path itself. The query form is preferred. Old releases of the service support only the path
// form, and respond to the query form with 404.

const MINUTE_MS = 60_000

describe('lastLogoutPath', () => {
  test.each([
    ['a/b', null, 'v1/last-logout?user_id=a%2Fb', 'v1/users/a%2Fb/last-logout'],
    [
      'x|a+b&c',
      'S=1',
      'v1/last-logout?user_id=x%7Ca%2Bb%26c&session_id=S%3D1',
      'v1/users/x%7Ca%2Bb%26c/last-logout?session_id=S%3D1',
    ],
  ])(
    'lastLogoutPath encodes the user id %s and the session id %s, in both forms',
    (userId, sessionId, queryForm, pathForm) => {
      const ids = { userId, sessionId }
      expect(lastLogoutPath(ids, 'query')).toBe(queryForm)
      expect(lastLogoutPath(ids, 'path')).toBe(pathForm)
    },
  )

  test('lastLogoutPath throws for an id with a lone surrogate, which a URL cannot encode', () => {
    expect(() => lastLogoutPath({ userId: 'x\ud800', sessionId: null }, 'query')).toThrow(URIError)
  })
})

describe('chooseForm', () => {
  const rejectedAt = 1_000_000
  // The last column is the time since the rejection, in milliseconds.
  test.each([
    ['query', 'was never rejected', null, 0],
    ['path', 'has just been rejected', rejectedAt, 0],
    ['path', 'was rejected almost ten minutes ago', rejectedAt, 10 * MINUTE_MS - 1],
    ['query', 'was rejected ten minutes ago', rejectedAt, 10 * MINUTE_MS],
    ['query', 'was rejected at a time in the future (the clock was set back)', rejectedAt, -1],
  ] as const)(
    'chooseForm returns the %s form if the query form %s',
    (form, _case, queryRejectedAt, elapsedMs) => {
      expect(chooseForm(queryRejectedAt, rejectedAt + elapsedMs)).toBe(form)
    },
  )

  test('chooseForm returns the query form only every ten minutes while the service rejects it', () => {
    let queryRejectedAt: number | null = null
    let queryRequests = 0
    for (let now = 0; now < 60 * MINUTE_MS; now += MINUTE_MS) {
      if (chooseForm(queryRejectedAt, now) === 'path') continue
      queryRejectedAt = now
      queryRequests++
    }
    expect(queryRequests).toBe(6)
  })
})

// A proxy can also respond with 404. Only a 404 of the service itself means that the path form must be used.
describe('isOwnNotFound', () => {
  const ownErrorBody = {
    statusCode: 404,
    error: 'Not Found',
    message: 'not found: /docs lists all paths',
  }

  test('isOwnNotFound returns true for an error body of this service, with any texts and in any order', () => {
    expect(isOwnNotFound(JSON.stringify(ownErrorBody))).toBe(true)
    expect(isOwnNotFound('{ "message": "", "error": "", "statusCode": 404 }')).toBe(true)
  })

  test.each([
    ['an empty body', ''],
    ['an HTML page', '<html><body>404 Not Found</body></html>'],
    ['null', 'null'],
    ['an array', JSON.stringify([404, 'Not Found', 'message'])],
    ['the JSON of a gateway', '{"message":"no Route matched with those values"}'],
    ['another status', JSON.stringify({ ...ownErrorBody, statusCode: 400 })],
    ['a status that is a string', JSON.stringify({ ...ownErrorBody, statusCode: '404' })],
    ['an additional field', JSON.stringify({ ...ownErrorBody, path: '/v1/last-logout' })],
    ['a missing field', JSON.stringify({ statusCode: 404, error: 'Not Found' })],
    ['a message that is null', JSON.stringify({ ...ownErrorBody, message: null })],
    ['a second JSON value', `${JSON.stringify(ownErrorBody)}{}`],
  ])('isOwnNotFound returns false for %s', (_case, body) => {
    expect(isOwnNotFound(body)).toBe(false)
  })
})

// A proxy that rewrites paths can cause a response about another user or session.
describe('isAbout', () => {
  const session = { session_id: 'S1', logout_at: null, ended: false }

  test.each([
    [true, 'about the user and the session', { user_id: 'auth0|1', session }, 'S1'],
    [true, 'about the user without a session', { user_id: 'auth0|1', session: null }, null],
    [false, 'about another user', { user_id: 'auth0|2', session }, 'S1'],
    [false, 'about an id in upper case', { user_id: 'AUTH0|1', session }, 'S1'],
    [false, 'without a user', { session }, 'S1'],
    [
      false,
      'about another session',
      { user_id: 'auth0|1', session: { ...session, session_id: 'S2' } },
      'S1',
    ],
    [false, 'without the session that was requested', { user_id: 'auth0|1', session: null }, 'S1'],
    [false, 'without the field of the session', { user_id: 'auth0|1' }, 'S1'],
    [false, 'with a session that was not requested', { user_id: 'auth0|1', session }, null],
    [false, 'that is null', null, 'S1'],
    [false, 'that is a text', 'auth0|1', 'S1'],
  ])('isAbout returns %s for a response %s', (expected, _case, json, sessionId) => {
    expect(isAbout(json, { userId: 'auth0|1', sessionId })).toBe(expected)
  })
})
