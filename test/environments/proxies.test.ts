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
import { listedAsWorking } from './compatibility.js'
import { findProxy, PROXIES, type RunningProxy, startProxy } from './proxy-programs.js'

/*
 * Proxies decode, rewrite or reject ids in the path of a URL. The client and the login Action send ids in the query or
 * the body instead. These tests check that, through each proxy, the API receives exactly the ids that they send.
 */

/** The claim with which the login Action adds the session to a token. */
const SESSION_CLAIM = 'https://last-logout/session_id'
const MINUTE_MS = 60_000
const NOW = Date.now()

/** Each user of {@link ODD_IDS} has logged out of one session at this instant. */
const LOGOUT_AT = NOW - 10 * MINUTE_MS
const LOGIN_BEFORE = LOGOUT_AT - MINUTE_MS
const LOGIN_AFTER = LOGOUT_AT + MINUTE_MS

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
    sessionId: endedSessionOf(userId),
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

/** Returns the id of the session that a user has ended. */
const endedSessionOf = (userId: string) => `session|of/${userId}`

for (const program of PROXIES) {
  describe(
    `behind ${program.name}`,
    listedAsWorking('Reverse proxies before the API', program.name),
    () => {
      let proxy: RunningProxy | undefined
      const proxyUrl = () => proxy?.url ?? ''
      let client: LastLogoutClient
      /** The errors that the client has reported. */
      const errors: unknown[] = []
      beforeAll(async () => {
        proxy = await startProxy(program, api.url)
        const onError = (error: unknown) => void errors.push(error)
        // The client sends a request for each check, and keeps no response.
        client = openClient(proxyUrl(), { lookup: 'request', cacheMs: 0, onError })
      })
      afterAll(() => proxy?.close())

      /** Checks a token with the client. Expects no error. Returns the outcome. */
      const outcomeOf = async (sub: string, loginAt: number, sessionId?: string) => {
        const claims = {
          sub,
          auth_time: loginAt / 1000,
          ...(sessionId !== undefined && { [SESSION_CLAIM]: sessionId }),
        }
        const { outcome } = await client.check(claims)
        expect(errors.splice(0)).toEqual([])
        return outcome
      }

      /** Runs the login Action for an exchange of a refresh token. Returns why it is denied; `null`: it is not. */
      const exchange = async (userId: string, sessionId: string) => {
        const event = buildExchangeEvent(
          { userId, sessionId, createdAt: LOGIN_BEFORE },
          {
            LAST_LOGOUT_URL: proxyUrl(),
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
          expect(await outcomeOf(userId, LOGIN_BEFORE, endedSessionOf(userId))).toBe('revoked')
          // By the default policy, the logout ends only its own session.
          expect(await outcomeOf(userId, LOGIN_BEFORE, 'another')).toBe('accepted')
          // A token without a session is judged by all logouts of the user.
          expect(await outcomeOf(userId, LOGIN_BEFORE)).toBe('revoked')
          expect(await outcomeOf(userId, LOGIN_AFTER)).toBe('accepted')
        },
      )

      test.each(ODD_IDS)(
        'the login Action judges the exchanges of refresh tokens of user %s by the logouts of this user',
        async (userId) => {
          expect(await exchange(userId, endedSessionOf(userId))).toBe(
            'last_logout: the session was logged out',
          )
          expect(await exchange(userId, 'another')).toBeNull()
        },
      )

      test.each(ODD_IDS)(
        'a reported logout of user %s revokes the tokens of this user',
        async (oddId) => {
          const userId = `${program.name} ${oddId}`
          expect(await outcomeOf(userId, LOGIN_BEFORE)).toBe('accepted')
          const response = await fetch(new URL('v1/logouts', proxyUrl()), {
            method: 'POST',
            headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
            body: JSON.stringify({ user_id: userId, at: new Date(LOGOUT_AT).toISOString() }),
          })
          expect(response.status).toBe(200)
          expect(await response.json()).toMatchObject({
            user_id: userId,
            last_logout_at: new Date(LOGOUT_AT).toISOString(),
          })
          expect(await outcomeOf(userId, LOGIN_BEFORE)).toBe('revoked')
          expect(await outcomeOf(userId, LOGIN_AFTER)).toBe('accepted')
        },
      )
    },
  )
}

describe('an id in the path of a URL', () => {
  /** Requests a user's last logout with the id in the path. The body of a response without JSON is `null`. */
  const requestByPath = async ({ url }: RunningProxy, userId: string) => {
    const path = lastLogoutPath({ userId, sessionId: null }, 'path')
    const response = await fetch(new URL(path, url), {
      headers: { authorization: `Bearer ${KEY}` },
    })
    const isJson = response.headers.get('content-type')?.startsWith('application/json')
    return { status: response.status, body: isJson ? await response.json() : null }
  }

  test.each([
    // This proxy decodes the path before it forwards the request. The API then finds no route (404), or another user.
    ['nginx with a path in proxy_pass', 'samlp|corp|a/b', 404, { statusCode: 404 }],
    ['nginx with a path in proxy_pass', 'samlp|x|a/../b', 200, { user_id: 'b' }],
    // Apache itself rejects a path with an encoded slash.
    ['Apache', 'samlp|corp|a/b', 404, null],
  ])(
    'behind %s, a request with the id %s in the path does not reach this user: the status is %d',
    async (name, userId, status, body) => {
      const proxy = await startProxy(findProxy(name), api.url)
      onTestFinished(proxy.close)
      const response = await requestByPath(proxy, userId)
      expect(response.status).toBe(status)
      if (body === null) expect(response.body).toBeNull()
      else expect(response.body).toMatchObject(body)
    },
  )

  test('the client returns unknown if a proxy changes the id in a path to the id of another user', async () => {
    // The API of release 0.1.0 supports only ids in the path, so the client falls back to the path.
    const releasedApi = await serveApi(database, {}, await importReleasedService())
    onTestFinished(releasedApi.close)
    const proxy = await startProxy(findProxy('nginx with a path in proxy_pass'), releasedApi.url)
    onTestFinished(proxy.close)
    const errors: unknown[] = []
    const onError = (error: unknown) => void errors.push(error)
    const client = openClient(proxy.url, { lookup: 'request', onError })
    const claimsOf = (sub: string) => ({ sub, auth_time: LOGIN_BEFORE / 1000 })

    expect(await client.check(claimsOf('samlp|x|a/../b'))).toMatchObject({
      outcome: 'unknown',
      reason: 'lookup_failed',
    })
    expect(errors).toEqual([expect.objectContaining({ code: 'NOT_UNDERSTOOD' })])
    // The proxy does not change this id, so the client can judge it.
    expect((await client.check(claimsOf('auth0|123'))).outcome).toBe('revoked')
  })
})
