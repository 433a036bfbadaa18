import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fold } from '../../src/rules/fold.js'
import { lastLogoutPath } from '../../src/rules/last-logout-request.js'
import { bearer, keys, openApi } from '../_support/api.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { ODD_IDS } from '../_support/odd-ids.js'
import { openTestStore } from '../_support/store.js'

const LOGOUT_AT = 1_795_428_000_123
const LOGOUT_AT_TEXT = '2026-11-23T10:00:00.123Z'

let database: TestDatabase
let store: Awaited<ReturnType<typeof openTestStore>>
let app: FastifyInstance
beforeAll(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database, { now: () => LOGOUT_AT + 60_000 })
  const events = ODD_IDS.map((id) => ({
    logId: `L ${id}`,
    type: 'slo',
    at: LOGOUT_AT,
    userId: id,
    sessionId: `session of ${id}`,
  }))
  await store.storeBatch({ ...fold(events), unattributable: [] })
  app = await openApi(store)
})
afterAll(async () => {
  await app.close()
  await store.close()
  await database.drop()
})

const get = (url: string, key = keys.reader) => app.inject({ url, headers: bearer(key) })

describe('GET /v1/last-logout', () => {
  test.each(ODD_IDS)(
    'the API returns the last logouts of the user %s and of a session',
    async (userId) => {
      const ids = { userId, sessionId: `session of ${userId}` }
      expect((await get(`/${lastLogoutPath(ids, 'query')}`)).json()).toMatchObject({
        user_id: userId,
        last_logout_at: LOGOUT_AT_TEXT,
        session: { session_id: ids.sessionId, logout_at: LOGOUT_AT_TEXT, ended: true },
      })
    },
  )

  // The id `..` is excluded, because a URL cannot contain it as a segment of the path.
  test.each(ODD_IDS.filter((id) => id !== '..'))(
    'GET /v1/users/{user_id}/last-logout returns the same response for the user %s',
    async (userId) => {
      const ids = { userId, sessionId: `session of ${userId}` }
      const responseByQuery = await get(`/${lastLogoutPath(ids, 'query')}`)
      const responseByPath = await get(`/${lastLogoutPath(ids, 'path')}`)
      expect(responseByPath.json()).toEqual(responseByQuery.json())
    },
  )

  test('the API returns no session if none is requested', async () => {
    const response = await get('/v1/last-logout?user_id=auth0%7C123')
    expect(response.json()).toMatchObject({ user_id: 'auth0|123', session: null })
  })

  test('the API accepts ids of 800 percent-encoded characters', async () => {
    // In percent-encoding, this character needs nine characters, the most of any character.
    const id = '\ufffd'.repeat(800)
    const response = await get(`/${lastLogoutPath({ userId: id, sessionId: id }, 'query')}`)
    expect(response.json()).toMatchObject({ user_id: id, session: { session_id: id } })
  })

  test.each([
    ['no user id', ''],
    ['an empty user id', '?user_id='],
    ['a blank user id', '?user_id=%20'],
    ['two user ids', '?user_id=auth0%7C123&user_id=b'],
    ['a user id of 801 characters', `?user_id=${'x'.repeat(801)}`],
    ['a NUL', '?user_id=a%00b'],
    ['two session ids', '?user_id=x&session_id=a&session_id=b'],
    ['an empty session id', '?user_id=x&session_id='],
    ['truncated percent-encoding', '?user_id=auth0%7'],
    ['percent-encoding that is not UTF-8', '?user_id=%ff'],
    ['a session id in percent-encoding that is not UTF-8', '?user_id=x&session_id=%fc'],
  ])('the API rejects %s with 400', async (_case, query) => {
    const response = await get(`/v1/last-logout${query}`)
    expect(response.statusCode).toBe(400)
    expect(response.json()).toEqual({
      statusCode: 400,
      error: 'Bad Request',
      message: expect.any(String),
    })
  })

  test.each([[keys.checker], [keys.subscriber], [keys.logout]])(
    'the API rejects the key $name, which lacks the role read',
    async (key) => {
      expect((await get('/v1/last-logout?user_id=x', key)).statusCode).toBe(403)
    },
  )
})

test('GET /v1/users/{user_id}/last-logout rejects a malformed session id with 400', async () => {
  expect((await get('/v1/users/x/last-logout?session_id=%fc')).statusCode).toBe(400)
})
