import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ApiKey } from '../../src/config/api-keys.js'
import { bearer, keys, openApi } from '../_support/api.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openTestStore, readRows } from '../_support/store.js'

const NOW = 1_795_428_300_123
const toDateTime = (ms: number) => new Date(ms).toISOString()

let database: TestDatabase
let store: Awaited<ReturnType<typeof openTestStore>>
let app: FastifyInstance
beforeAll(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database, { now: () => NOW })
  app = await openApi(store)
})
afterAll(async () => {
  await app.close()
  await store.close()
  await database.drop()
})

const post = (url: string, payload: object, key: ApiKey) =>
  app.inject({ method: 'POST', url, headers: bearer(key), payload })
/** Checks a token. Returns the verdict. */
const check = async (claims: object) => {
  const url = '/v1/check'
  const payload = { claims }
  return (await app.inject({ method: 'POST', url, headers: bearer(keys.checker), payload })).json()
}

/** Reports a logout of a user. */
type Send = (userId: string, payload: object, key: ApiKey) => ReturnType<typeof post>
const reportByBody: Send = (user_id, payload, key) =>
  post('/v1/logouts', { user_id, ...payload }, key)
const reportByPath: Send = (userId, payload, key) =>
  post(`/v1/users/${encodeURIComponent(userId)}/logout`, payload, key)

describe.each([
  ['POST /v1/logouts', 'body', reportByBody],
  ['POST /v1/users/{user_id}/logout', 'path', reportByPath],
])('%s', (_route, form, send) => {
  // The ids of users begin with `form`, so that the users of both routes differ.
  const report = (userId: string, payload: object, key = keys.logout) => send(userId, payload, key)

  test('a report without a session revokes the tokens of all sessions, and returns the new state', async () => {
    const response = await report(`${form}|all`, { at: toDateTime(NOW - 1_000) })
    expect(response.statusCode).toBe(200)
    expect(response.json()).toMatchObject({
      user_id: `${form}|all`,
      last_logout_at: toDateTime(NOW - 1_000),
      all_sessions_at: toDateTime(NOW - 1_000),
      session: null,
    })
    const iat = Math.floor(NOW / 1000) - 60
    expect(await check({ sub: `${form}|all`, iat, 'https://last-logout/session_id': 'S' })).toEqual(
      expect.objectContaining({ revoked: true, reason: 'all_sessions_logout' }),
    )
  })

  test('a report with a session revokes only earlier tokens of the session, and does not mark it as ended', async () => {
    const response = await report(`${form}|one`, { at: toDateTime(NOW - 1_000), session_id: 'S1' })
    expect(response.json()).toMatchObject({
      last_logout_at: toDateTime(NOW - 1_000),
      all_sessions_at: null,
      session: { session_id: 'S1', logout_at: toDateTime(NOW - 1_000), ended: false },
    })
    const claimsOf = (session: string, secondsAgo: number) => ({
      sub: `${form}|one`,
      iat: NOW / 1000 - secondsAgo,
      'https://last-logout/session_id': session,
    })
    expect(await check(claimsOf('S1', 2))).toMatchObject({
      revoked: true,
      reason: 'session_logout',
    })
    expect(await check(claimsOf('S1', 0.5))).toMatchObject({ revoked: false })
    expect(await check(claimsOf('S2', 2))).toMatchObject({ revoked: false })
  })

  test('a repeated report with the same `at` changes neither the rows nor the change feed', async () => {
    const payload = { at: toDateTime(NOW - 5_000), session_id: 'S3' }
    const firstResponse = await report(`${form}|twice`, payload)
    const rows = await readRows(database)
    const feedBefore = await store.readChanges({ after: null, since: null, limit: 100 })
    const secondResponse = await report(`${form}|twice`, payload)
    expect(secondResponse.json()).toEqual(firstResponse.json())
    expect(await readRows(database)).toEqual(rows)
    const feedAfter = await store.readChanges({ after: null, since: null, limit: 100 })
    expect(feedAfter?.changes).toEqual(feedBefore?.changes)
  })

  test('a report never moves a last logout back to an earlier instant', async () => {
    await report(`${form}|forward`, { at: toDateTime(NOW - 1_000), session_id: 'S4' })
    const response = await report(`${form}|forward`, {
      at: toDateTime(NOW - 9_000),
      session_id: 'S4',
    })
    expect(response.json()).toMatchObject({
      last_logout_at: toDateTime(NOW - 1_000),
      session: { logout_at: toDateTime(NOW - 1_000) },
    })
  })

  test.each([
    ['a day ago', 'that instant', -86_400_000, NOW - 86_400_000],
    ['now', 'that instant', 0, NOW],
    ['a millisecond ahead', 'now', 1, NOW],
    ['60 s ahead', 'now', 60_000, NOW],
  ])('a report of a logout %s stores %s', async (reported, _stored, aheadMs, storedAt) => {
    const response = await report(`${form}|${reported}`, { at: toDateTime(NOW + aheadMs) })
    expect(response.json().last_logout_at).toBe(toDateTime(storedAt))
  })

  test.each([
    ['an instant more than 60 s ahead', { at: toDateTime(NOW + 60_001) }, /60 s ahead/],
    ['a malformed instant', { at: 'now' }, /RFC 3339/],
    ['an instant without a zone', { at: '2026-11-23T10:00:00' }, /RFC 3339/],
    ['an implausible instant', { at: '1999-12-31T23:59:59Z' }, /from 2000 to 2199/],
    ['a day that the month does not have', { at: '2026-02-30T00:00:00Z' }, /RFC 3339/],
    ['a blank session', { at: toDateTime(NOW), session_id: ' ' }, /session_id/],
    ['a misspelt field', { at: toDateTime(NOW), sessionId: 'S' }, /sessionId/],
  ])(
    'a report with %s is rejected with 400, and stores nothing',
    async (_case, payload, message) => {
      const rows = await readRows(database)
      const response = await report(`${form}|refused`, payload)
      expect(response.statusCode).toBe(400)
      expect(response.json().message).toMatch(message)
      expect(await readRows(database)).toEqual(rows)
    },
  )

  test.each([[keys.reader], [keys.checker], [keys.subscriber]])(
    'a report with the key $name, which lacks the role logout, is rejected',
    async (key) => {
      expect((await report(`${form}|closed`, { at: toDateTime(NOW) }, key)).statusCode).toBe(403)
    },
  )
})

describe('POST /v1/logouts', () => {
  const report = (payload: object) => post('/v1/logouts', payload, keys.logout)

  test('a report without an instant stores the current instant', async () => {
    const response = await report({ user_id: 'auth0|now', session_id: 'S5' })
    expect(response.json()).toMatchObject({
      last_logout_at: toDateTime(NOW),
      session: { session_id: 'S5', logout_at: toDateTime(NOW) },
    })
  })

  test('a report accepts a user id that proxies would change in a path', async () => {
    const userId = 'samlp|x|a/../b'
    expect((await report({ user_id: userId })).json()).toMatchObject({ user_id: userId })
    const rows = (await readRows(database)).users.filter(({ userId }) => userId.endsWith('b'))
    expect(rows).toEqual([expect.objectContaining({ userId })])
  })

  test.each([
    ['no user', { at: toDateTime(NOW) }, /user_id/],
    ['a blank user', { user_id: ' ' }, /user_id/],
    ['two users', { user_id: ['a', 'b'] }, /user_id/],
  ])('a report with %s is rejected with 400', async (_case, payload, message) => {
    const response = await report(payload)
    expect(response.statusCode).toBe(400)
    expect(response.json().message).toMatch(message)
  })
})

test('POST /v1/users/{user_id}/logout requires an instant', async () => {
  const response = await reportByPath('auth0|none', {}, keys.logout)
  expect(response.statusCode).toBe(400)
  expect(response.json().message).toMatch(/at/)
})
