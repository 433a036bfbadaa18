import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readFreshness, readLastLogoutResponse } from '../../src/rules/last-logout-response.js'

const AT = '2026-11-23T10:00:00.123Z'
const INSTANT = Date.parse(AT)
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
  test('is read with the logouts of the user and the session', () => {
    expect(readLastLogoutResponse(RESPONSE)).toEqual({
      known: {
        user: { at: INSTANT, allSessionsAt: null },
        session: { at: INSTANT, ended: true },
        floorAt: null,
      },
      freshness: { asOf: INSTANT, lagMs: 840, policy: 'session' },
    })
  })

  test('is read if it contains no logout', () => {
    expect(readLastLogoutResponse(NO_LOGOUT)).toMatchObject({
      known: { user: null, session: null, floorAt: null },
    })
  })

  test('is read with the floor', () => {
    expect(readLastLogoutResponse({ ...NO_LOGOUT, floor_at: AT })).toMatchObject({
      known: { floorAt: INSTANT },
    })
  })

  test.each<[string, object]>([
    ['policy', { policy: 'all' }],
    ['as_of', { as_of: 5 }],
    ['last_logout_at', { last_logout_at: 'yesterday' }],
    ['last_logout_at', { last_logout_at: undefined }],
    ['all_sessions_at', { all_sessions_at: 0 }],
    ['floor_at', { floor_at: '2026-11-23' }],
    ['logout_at', { session: {} }],
    ['logout_at', { session: undefined }],
  ])('is rejected as a whole with a malformed %s', (invalidField, over) => {
    expect(readLastLogoutResponse({ ...RESPONSE, ...over })).toEqual({ invalidField })
  })

  test('causes no exception, whatever its value', () => {
    fc.assert(fc.property(fc.anything(), (json) => void readLastLogoutResponse(json)))
  })
})

describe('the age of the data', () => {
  test.each([
    ['is null', { lag_ms: null }],
    ['is missing', { lag_ms: undefined }],
    ['is a text', { lag_ms: '0' }],
    ['is negative', { lag_ms: -1 }],
    ['has no as_of', { as_of: null }],
  ])('is infinite if lag_ms %s', (_what, over) => {
    expect(readFreshness({ ...FRESHNESS, ...over })).toMatchObject({
      lagMs: Number.POSITIVE_INFINITY,
    })
  })
})
