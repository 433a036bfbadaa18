import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { readActionFile } from '../../src/auth0/actions/code.js'
import type { LastLogoutClient } from '../../src/client/index.js'
import { fold } from '../../src/rules/fold.js'
import { lastLogoutPath } from '../../src/rules/last-logout-request.js'
import { openClient } from '../_support/client.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { ODD_IDS } from '../_support/odd-ids.js'
import { importReleasedService } from '../_support/release-0-1-0.js'
import { buildExchangeEvent, loadActionWithLog, type RunAction } from '../_support/run-action.js'
import { KEY, serveApi } from '../_support/served-api.js'
import { CHECKPOINT, openTestStore } from '../_support/store.js'
import { DOMAIN } from '../_support/tenant.js'
import { worksIn } from './compatibility.js'
import { findProxy, PROXIES, type RunningProxy, startProxy } from './proxy-programs.js'

const SESSION_CLAIM = 'https://last-logout/session_id'
const MINUTE_MS = 60_000
const NOW = Date.now()
const LOGOUT_AT = NOW - 10 * MINUTE_MS

let database: TestDatabase
let store: Awaited<ReturnType<typeof openTestStore>>
let api: Awaited<ReturnType<typeof serveApi>>
let runAction: RunAction
beforeAll(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database, { domain: DOMAIN })
  await store.setFirstCheckpoint(CHECKPOINT, null)
  const events = ODD_IDS.map((userId) => ({
    logId: `L ${userId}`,
    type: 'slo',
    at: LOGOUT_AT,
    userId,
    sessionId: sessionOf(userId),
  }))
  await store.storeBatch({ ...fold(events), unattributable: [] })
  await store.storeCaughtUp(CHECKPOINT, NOW)
  api = await serveApi(database)
  runAction = loadActionWithLog(await readActionFile())
})
afterAll(async () => {
  await api.close()
  await store.close()
  await database.drop()
})

const sessionOf = (userId: string) => `session|of/${userId}`

for (const program of PROXIES) {
  describe(
    `behind ${program.name}`,
    worksIn('Reverse proxies before the API', program.name),
    () => {
      let proxy: RunningProxy | undefined
      const url = () => proxy?.url ?? ''
      let client: LastLogoutClient
      const errors: unknown[] = []
      beforeAll(async () => {
        proxy = await startProxy(program, api.url)
        const onError = (error: unknown) => void errors.push(error)
        client = openClient(url(), { lookup: 'request', cacheMs: 0, onError })
      })
      afterAll(() => proxy?.close())

      const outcomeOf = async (sub: string, loginAt: number, session?: string) => {
        const claims = {
          sub,
          auth_time: loginAt / 1000,
          ...(session && { [SESSION_CLAIM]: session }),
        }
        const { outcome } = await client.check(claims)
        expect(errors.splice(0)).toEqual([])
        return outcome
      }
      const refresh = async (userId: string, sessionId: string) => {
        const event = buildExchangeEvent(
          { userId, sessionId, createdAt: LOGOUT_AT - MINUTE_MS },
          {
            LAST_LOGOUT_URL: url(),
            LAST_LOGOUT_API_KEY: KEY,
            LAST_LOGOUT_ON_ERROR: 'deny',
            LAST_LOGOUT_TIMEOUT_MS: '5000',
          },
        )
        const { denied, logLines } = await runAction(event)
        expect(logLines).toEqual([])
        return denied
      }

      test.each(ODD_IDS)(
        'the client judges the tokens of user %s by the logouts of this user',
        async (userId) => {
          const loginBefore = LOGOUT_AT - MINUTE_MS
          expect(await outcomeOf(userId, loginBefore, sessionOf(userId))).toBe('revoked')
          expect(await outcomeOf(userId, loginBefore, 'another')).toBe('accepted')
          expect(await outcomeOf(userId, loginBefore)).toBe('revoked')
          expect(await outcomeOf(userId, LOGOUT_AT + MINUTE_MS)).toBe('accepted')
        },
      )

      test.each(ODD_IDS)(
        'the Action judges the exchanges of user %s by the logouts of this user',
        async (userId) => {
          expect(await refresh(userId, sessionOf(userId))).toBe(
            'last_logout: the session was logged out',
          )
          expect(await refresh(userId, 'another')).toBeNull()
        },
      )

      test.each(ODD_IDS)(
        'a reported logout of user %s revokes the tokens of this user',
        async (id) => {
          const userId = `${program.name} ${id}`
          const loginBefore = LOGOUT_AT - MINUTE_MS
          expect(await outcomeOf(userId, loginBefore)).toBe('accepted')
          const response = await fetch(new URL('v1/logouts', url()), {
            method: 'POST',
            headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
            body: JSON.stringify({ user_id: userId, at: new Date(LOGOUT_AT).toISOString() }),
          })
          expect(response.status).toBe(200)
          expect(await response.json()).toMatchObject({
            user_id: userId,
            last_logout_at: new Date(LOGOUT_AT).toISOString(),
          })
          expect(await outcomeOf(userId, loginBefore)).toBe('revoked')
          expect(await outcomeOf(userId, LOGOUT_AT + MINUTE_MS)).toBe('accepted')
        },
      )
    },
  )
}

describe('an id in a path', () => {
  const statusOf = async ({ url }: RunningProxy, userId: string) => {
    const path = lastLogoutPath({ userId, sessionId: null }, 'path')
    const response = await fetch(new URL(path, url), {
      headers: { authorization: `Bearer ${KEY}` },
    })
    const isJson = response.headers.get('content-type')?.startsWith('application/json')
    return { status: response.status, body: isJson ? await response.json() : null }
  }

  test.each([
    ['nginx with a path in proxy_pass', 'samlp|corp|a/b', 404, { statusCode: 404 }],
    ['nginx with a path in proxy_pass', 'samlp|x|a/../b', 200, { user_id: 'b' }],
    ['Apache', 'samlp|corp|a/b', 404, null],
  ])(
    'behind %s, a request with the id %s in the path has the status %d',
    async (name, userId, status, body) => {
      const proxy = await startProxy(findProxy(name), api.url)
      onTestFinished(proxy.close)
      const response = await statusOf(proxy, userId)
      expect(response.status).toBe(status)
      if (body === null) expect(response.body).toBeNull()
      else expect(response.body).toMatchObject(body)
    },
  )
  test('the client returns unknown if a proxy changes the id in a path to the id of another user', async () => {
    const releasedApi = await serveApi(database, {}, await importReleasedService())
    onTestFinished(releasedApi.close)
    const proxy = await startProxy(findProxy('nginx with a path in proxy_pass'), releasedApi.url)
    onTestFinished(proxy.close)
    const errors: unknown[] = []
    const onError = (error: unknown) => void errors.push(error)
    const client = openClient(proxy.url, { lookup: 'request', onError })
    const claims = (sub: string) => ({ sub, auth_time: (LOGOUT_AT - MINUTE_MS) / 1000 })

    expect(await client.check(claims('samlp|x|a/../b'))).toMatchObject({
      outcome: 'unknown',
      reason: 'lookup_failed',
    })
    expect(errors).toEqual([expect.objectContaining({ code: 'NOT_UNDERSTOOD' })])
    // The proxy does not change this id, so the client can judge it.
    expect((await client.check(claims('auth0|123'))).outcome).toBe('revoked')
  })
})
