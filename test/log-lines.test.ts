import { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadConfig } from '../src/config/config.js'
import { createLog } from '../src/log.js'
import { syntheticLogId } from '../src/rules/log-id.js'
import { createService } from '../src/service/service.js'
import { buildEntry } from '../src/simulator/entries.js'
import * as faults from '../src/simulator/faults.js'
import { createTestDatabase, type TestDatabase } from './_support/database.js'
import { subscribeToFeed } from './_support/events.js'
import { openProxy } from './_support/proxy.js'
import { DOMAIN, openTenant, type TestTenant } from './_support/tenant.js'

/**
 * Every user id and session id of this test contains this text, so that a search finds each log line with such an id.
 */
const PERSON = 'identifiable'
/** The key of a caller of the API. Only this key is valid. */
const KEY = 'key-that-no-line-may-show-0123456789'
const WRONG_KEY = 'wrong-one-that-no-line-may-show-01234'
/** The token of the log stream, the webhook by which Auth0 delivers entries. Also sent in place of a user's token. */
const TOKEN = 'token-that-no-line-may-show-0123456789'
const SECRETS = [PERSON, KEY, WRONG_KEY, TOKEN]
const FORM_TYPE = 'application/x-www-form-urlencoded'

let database: TestDatabase
let auth0: TestTenant
beforeAll(async () => {
  database = await createTestDatabase()
  auth0 = await openTenant()
})
afterAll(async () => {
  await auth0.close()
  await database.drop()
})

test('at level info, no log line of the service contains a user id, a session id, a key, a token or a password', async () => {
  const lines: string[] = []
  const stream = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk))
      done()
    },
  })
  const proxy = await openProxy(database.url)
  const { clientId, clientSecret } = auth0.simulator.credentials
  const config = loadConfig(
    {
      AUTH0_DOMAIN: DOMAIN,
      AUTH0_BASE_URL: auth0.simulator.url,
      AUTH0_CLIENT_ID: clientId,
      AUTH0_CLIENT_SECRET: clientSecret,
      DATABASE_URL: proxy.url,
      API_KEYS: `test:${KEY}:read+check+feed+logout+metrics+introspect+forward-auth`,
      TOKEN_AUDIENCES: 'test=https://orders.example.com',
      LOGOUT_ENDPOINT: 'true',
      LOG_STREAM_TOKEN: TOKEN,
      POLL_INTERVAL: '200ms',
      PORT: '0',
    },
    ['auth0', 'api', 'database'],
  )
  const service = await createService(config, await createLog('info', stream))
  const url = await service.startApi()
  await service.startWorker()

  // Causes log lines about valid and invalid entries, about requests, and about errors of Auth0.
  writeLogouts()
  await expect.poll(() => lines.join(), { timeout: 20_000 }).toContain('log read')
  await requestEveryRoute(url)
  auth0.simulator.faults.push({
    path: '/api/v2/logs',
    times: 3,
    respond: faults.respondWith(401, {}),
  })
  auth0.simulator.faults.push({ path: '/api/v2/logs', times: 3, respond: faults.cutOffJson() })
  await expect.poll(() => lines.join(), { timeout: 20_000 }).toMatch(/AUTH0_/)

  // Causes log lines about an outage of the database. While the proxy is frozen, PostgreSQL does not respond.
  const feed = await subscribeToFeed(url, '', { authorization: `Bearer ${KEY}` })
  proxy.freeze()
  const requests = requestEveryRoute(url)
  // Long enough for five polls and all requests to begin.
  await sleep(1_000)
  proxy.thaw()
  await requests
  await feed.close()
  await service.close()
  await proxy.close()

  expect(lines.length).toBeGreaterThan(3)
  expect(lines.join('')).toContain('too many wrong keys')
  const { password } = new URL(database.url)
  // The URL of the test database can have no password.
  const secrets = [...SECRETS, clientSecret, password].filter((secret) => secret !== '')
  for (const secret of secrets) {
    expect(lines.filter((line) => line.includes(secret))).toEqual([])
  }
}, 90_000)

/** Writes a valid logout, a logout with invalid details, and a logout without a user and a session. */
function writeLogouts(): void {
  const userId = `auth0|${PERSON}`
  auth0.tenant.write(buildEntry('slo', { userId, sessionId: `${PERSON}-session` }))
  auth0.tenant.write(buildEntry('slo', { userId, userName: PERSON }, { details: PERSON }))
  auth0.tenant.write(buildEntry('slo', {}, { user_id: null, user_name: PERSON, details: null }))
}

/** Sends valid and invalid requests to every route. */
async function requestEveryRoute(url: string): Promise<void> {
  const user = `/v1/users/auth0%7C${PERSON}`
  const entry = buildEntry('slo', { userId: `auth0|${PERSON}-streamed` })
  const postRequests: [path: string, key: string, body: string][] = [
    ['/v1/check', KEY, JSON.stringify({ claims: { sub: `auth0|${PERSON}`, iat: 1 } })],
    ['/v1/check', KEY, JSON.stringify({ claims: { sub: 1, sid: PERSON } })],
    ['/v1/check', KEY, `{"claims":"${PERSON}`],
    [`${user}/logout`, KEY, JSON.stringify({ at: new Date().toISOString(), session_id: PERSON })],
    [`${user}/logout`, KEY, JSON.stringify({ at: PERSON })],
    ['/v1/logouts', KEY, JSON.stringify({ user_id: PERSON, session_id: PERSON })],
    ['/v1/logouts', KEY, JSON.stringify({ user_id: PERSON, at: PERSON })],
    ['/v1/log-stream', TOKEN, JSON.stringify({ ...entry, log_id: syntheticLogId(Date.now()) })],
    ['/v1/log-stream', TOKEN, `${PERSON}\n{"type":"slo","user_name":"${PERSON}"}`],
    ['/v1/log-stream', TOKEN, PERSON.repeat(1_000_000)],
    ['/v1/log-stream', KEY, PERSON],
    ['/v1/introspect', KEY, `token=${TOKEN}`],
    ['/v1/forward-auth', TOKEN, PERSON],
    ['/logout', TOKEN, `id_token_hint=${TOKEN}`],
  ]
  const getPaths = [
    `${user}/last-logout?session_id=${PERSON}`,
    `${user}/last-logout?session_id=%00${PERSON}`,
    `/v1/users/%zz${PERSON}/last-logout`,
    `/v1/last-logout?user_id=${PERSON}&session_id=${PERSON}`,
    `/v1/last-logout?user_id=${PERSON}&user_id=${PERSON}`,
    `/v1/last-logout?user_id=%zz${PERSON}`,
    `/v1/changes?after=${PERSON}`,
    `/v1/changes?since=${PERSON}&limit=${PERSON}`,
    `/${PERSON}`,
    `/logout?id_token_hint=${TOKEN}&state=${PERSON}`,
    `/v1/forward-auth/${PERSON}`,
    '/openapi.json',
    '/docs/',
    '/metrics',
    '/health/live',
    '/health/ready',
    '/health/fresh',
  ]
  /** Sends a GET request or, with a body, a POST request. Ignores the response. */
  const send = async (path: string, key: string, body?: string) => {
    const headers = {
      authorization: `Bearer ${key}`,
      'content-type': path === '/v1/introspect' ? FORM_TYPE : 'application/json',
      // Gateways send their key in this header. It is valid only for paths such as `/v1/forward-auth/identifiable`.
      'x-last-logout-key': path.endsWith(PERSON) ? KEY : WRONG_KEY,
    }
    const init = body === undefined ? { headers } : { method: 'POST', headers, body }
    // The server can close the connection while it receives a body that is too long. Then `fetch` rejects.
    const response = await fetch(url + path, { ...init, redirect: 'manual' }).catch(() => null)
    await response?.text().catch(() => '')
  }
  await Promise.all([
    ...postRequests.map(([path, key, body]) => send(path, key, body)),
    ...getPaths.map((path) => send(path, KEY)),
    // More wrong keys than the API accepts from one address before it responds with 429.
    ...Array.from({ length: 30 }, () => send(`${user}/last-logout`, WRONG_KEY)),
  ])
}
