import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readFreshness, readLastLogoutResponse } from '../../src/rules/last-logout-response.js'

const AT = '2026-11-23T10:00:00.123Z'
const AT_MS = Date.parse(AT)
// `as_of`: the service has read all entries of the log that Auth0 stored before this instant. `lag_ms`: its age.
const FRESHNESS = { as_of: AT, lag_ms: 840, policy: 'session' }
const RESPONSE = {
  user_id: 'auth0|1',
  last_logout_at: AT,
  all_sessions_at: null,
  session: { session_id: 'S1', logout_at: AT, ended: true },
  floor_at: null,
  ...FRESHNESS,
}
const NO_LOGOUT = { ...RESPONSE, last_logout_at: null, session: null }

describe('the response about a last logout', () => {
  test('readLastLogoutResponse returns the logouts of the user and of the session', () => {
    expect(readLastLogoutResponse(RESPONSE)).toEqual({
      knownLogouts: {
        user: { at: AT_MS, allSessionsAt: null },
        session: { at: AT_MS, ended: true },
        floorAt: null,
      },
      freshness: { asOf: AT_MS, lagMs: 840, policy: 'session' },
    })
  })

  test('readLastLogoutResponse reads a response without a logout', () => {
    expect(readLastLogoutResponse(NO_LOGOUT)).toMatchObject({
      knownLogouts: { user: null, session: null, floorAt: null },
    })
  })

  test('readLastLogoutResponse returns the floor, the instant that revokes older tokens of all users', () => {
    expect(readLastLogoutResponse({ ...NO_LOGOUT, floor_at: AT })).toMatchObject({
      knownLogouts: { floorAt: AT_MS },
    })
  })

  test.each<[string, object]>([
    ['policy', { policy: 'all' }],
    ['as_of', { as_of: 5 }],
    ['last_logout_at', { last_logout_at: 'yesterday' }],
    ['last_logout_at', { last_logout_at: undefined }],
    ['all_sessions_at', { all_sessions_at: 0 }],
    ['floor_at', { floor_at: '2026-11-23' }],
    // `logout_at` is a field of `session`.
    ['logout_at', { session: {} }],
    ['logout_at', { session: undefined }],
  ])(
    'readLastLogoutResponse names the missing or malformed field: %s',
    (invalidField, overrides) => {
      expect(readLastLogoutResponse({ ...RESPONSE, ...overrides })).toEqual({ invalidField })
    },
  )

  test('readLastLogoutResponse never throws', () => {
    fc.assert(
      fc.property(fc.anything(), (json) => {
        readLastLogoutResponse(json)
      }),
    )
  })
})

describe('the age of the data', () => {
  test.each([
    ['lag_ms is null', { lag_ms: null }],
    ['lag_ms is missing', { lag_ms: undefined }],
    ['lag_ms is a string', { lag_ms: '0' }],
    ['lag_ms is negative', { lag_ms: -1 }],
    ['as_of is null', { as_of: null }],
  ])('the age of the data is infinite if %s', (_case, overrides) => {
    expect(readFreshness({ ...FRESHNESS, ...overrides })).toMatchObject({
      lagMs: Number.POSITIVE_INFINITY,
    })
  })
})
