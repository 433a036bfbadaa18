import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { readActionFile } from '../../src/auth0/actions/code.js'
import { createLastLogoutClient, type LastLogoutClient } from '../../src/client/index.js'
import { loadConfig } from '../../src/config/config.js'
import { syntheticLogId } from '../../src/rules/log-id.js'
import { createService, type Service } from '../../src/service/service.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { receive } from '../../src/sync/receive.js'
import { finishCommandLine } from '../_support/command-line.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import {
  importReleasedClient,
  importReleasedService,
  readReleasedAction,
} from '../_support/release-0-1-0.js'
import { buildExchangeEvent, loadActionWithLog } from '../_support/run-action.js'
import { KEY, serveApi } from '../_support/served-api.js'
import { openTestStore } from '../_support/store.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'

/** The claim with the session id that the login Action adds to tokens. */
const SESSION_CLAIM = 'https://last-logout/session_id'
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const NOW = Date.now()
const USER = 'auth0|forgotten'
/** The id of the session on the user's phone. */
const PHONE = 'phone-of-forgotten'
const releasedClient = await importReleasedClient()

let database: TestDatabase
let auth0: TestTenant
let env: Record<string, string>
let service: Service
let url: string
/** The client `current`, and the client `released` of release 0.1.0. Both start before the person is forgotten. */
const runningClients: Record<string, { client: LastLogoutClient; errors: unknown[] }> = {}

/** Opens a client, and waits until the client has loaded the logouts. */
async function startClient({ createLastLogoutClient: create }: typeof releasedClient) {
  const errors: unknown[] = []
  const onError = (error: unknown) => void errors.push(error)
  const client = create({ url, apiKey: KEY, onUnknown: 'deny', onError })
  await client.ready()
  return { client, errors }
}

/** The claims of a token. By default, the token was issued a minute before the logouts. */
const claims = (sessionId: string, sub = USER, issuedAt = NOW - MINUTE_MS) => ({
  sub,
  iat: Math.floor(issuedAt / 1000),
  [SESSION_CLAIM]: sessionId,
})

/** Checks three tokens: one of the session that was logged out, one of another session, and one of a new login. */
const checkTokens = (client: LastLogoutClient) => [
  client.checkNow(claims(PHONE)).outcome,
  client.checkNow(claims('laptop')).outcome,
  client.checkNow(claims('laptop', USER, NOW + HOUR_MS)).outcome,
]
/** The expected results of `checkTokens`. The logout without a session id revokes the second token. */
const EXPECTED_OUTCOMES = ['revoked', 'revoked', 'accepted']

/** Sends a GET request, or with a body a POST request. Returns the body of the response. */
async function request(path: string, body?: object): Promise<Record<string, unknown>> {
  const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }
  const init = body && { method: 'POST', body: JSON.stringify(body) }
  const response = await fetch(`${url}${path}`, { headers, ...init })
  expect(response.status).toBe(200)
  return response.json() as Promise<Record<string, unknown>>
}

/** Returns the API's response for the ids of the user, without the fields that change with time. */
async function readLogouts() {
  const { as_of, lag_ms, ...logouts } = await request(
    `/v1/last-logout?user_id=${encodeURIComponent(USER)}&session_id=${PHONE}`,
  )
  return logouts
}

/** Whether any table contains an id of the user. Both ids contain `forgotten`. */
async function areIdsStored(): Promise<boolean> {
  const rowsOfTables = await Promise.all(
    ['last_logout', 'session_logout', 'unattributable', 'tenant', 'gap'].map((table) =>
      database.query(`SELECT t::text AS row FROM ${table} AS t`),
    ),
  )
  return /forgotten/.test(rowsOfTables.flatMap((rows) => rows.map(({ row }) => row)).join('\n'))
}

/** Reads the log of the tenant to its end. */
const readLog = () => service.sync(new AbortController().signal)

let responseBefore: object
beforeAll(async () => {
  database = await createTestDatabase()
  auth0 = await openTenant()
  auth0.tenant.write(buildEntry('slo', { userId: USER, sessionId: PHONE }))
  auth0.tenant.write(buildEntry('slo', { userId: USER }))
  env = {
    ...tenantEnv(auth0.simulator),
    DATABASE_URL: database.url,
    API_KEYS: `test:${KEY}:read+check+feed+logout`,
    PORT: '0',
  }
  const config = loadConfig(env, ['auth0', 'api', 'database'])
  service = await createService(config, pino({ level: 'silent' }))
  await readLog()
  url = await service.startApi()
  runningClients.current = await startClient({ createLastLogoutClient })
  runningClients.released = await startClient(releasedClient)
  responseBefore = await readLogouts()
  expect(await areIdsStored()).toBe(true)
  const { code, stderr } = await finishCommandLine(['forget', USER], env)
  expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining('forgotten') })
  expect(await areIdsStored()).toBe(false)
})
afterAll(async () => {
  await Promise.all(Object.values(runningClients).map(({ client }) => client.close()))
  await service.close()
  await auth0.close()
  await database.drop()
})

describe('after a person was forgotten', () => {
  test('the API returns the same responses for the ids as before the person was forgotten', async () => {
    expect(responseBefore).toMatchObject({
      user_id: USER,
      last_logout_at: expect.any(String),
      all_sessions_at: expect.any(String),
      session: { session_id: PHONE, ended: true },
    })
    expect(await readLogouts()).toEqual(responseBefore)
    const path = `/v1/users/${encodeURIComponent(USER)}/last-logout?session_id=${PHONE}`
    expect(await request(path)).toMatchObject(responseBefore)
    const { revoked, reason } = await request('/v1/check', { claims: claims(PHONE) })
    expect({ revoked, reason }).toEqual({ revoked: true, reason: 'session_ended' })
  })

  test.each(['current', 'released'])(
    'the %s client, which was running, still refuses the tokens, and receives later changes',
    async (release) => {
      const { client, errors } = runningClients[release] ?? expect.fail()
      const otherUser = `auth0|logged out while ${release} runs`
      await request('/v1/logouts', { user_id: otherUser })
      // A client receives changes in their order. So it already has the earlier change of the forgotten person.
      await expect.poll(() => client.checkNow(claims('S', otherUser)).outcome).toBe('revoked')
      expect(checkTokens(client)).toEqual(EXPECTED_OUTCOMES)
      expect(errors).toEqual([])
    },
  )

  test('a current client that starts after the person was forgotten refuses the same tokens from memory', async () => {
    const { client, errors } = await startClient({ createLastLogoutClient })
    onTestFinished(client.close)
    expect(checkTokens(client)).toEqual(EXPECTED_OUTCOMES)
    expect(errors).toEqual([])
  })

  test('a client of 0.1.0 that starts after the person was forgotten loads the feed without an error', async () => {
    const { client, errors } = await startClient(releasedClient)
    onTestFinished(client.close)
    // The client of 0.1.0 cannot hash ids. docs/privacy.md describes this limitation.
    expect(checkTokens(client)).toEqual(['accepted', 'accepted', 'accepted'])
    expect(errors).toEqual([])
  })

  test('a page of the change feed contains hashes instead of the ids', async () => {
    const page = await request('/v1/changes')
    expect(JSON.stringify(page)).not.toMatch(/"(auth0\|forgotten|phone-of-forgotten)"/)
    const hash = expect.stringMatching(/^[0-9a-f]{64}$/)
    expect(page.changes).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ kind: 'forgotten_user', user_hash: hash, type: 'slo' }),
        expect.objectContaining({
          kind: 'forgotten_session',
          session_hash: hash,
          user_hash: hash,
          ended: true,
        }),
      ]),
    )
  })

  test.each([
    ['the current Action', readActionFile],
    ['the Action of 0.1.0', readReleasedAction],
  ])(
    '%s still denies the exchange of a refresh token of the forgotten person',
    async (_name, readCode) => {
      const event = buildExchangeEvent(
        { userId: USER, sessionId: PHONE, createdAt: NOW - MINUTE_MS },
        { LAST_LOGOUT_URL: url, LAST_LOGOUT_API_KEY: KEY, LAST_LOGOUT_TIMEOUT_MS: '5000' },
      )
      const { denied } = await loadActionWithLog(await readCode())(event)
      expect(denied).toBe('last_logout: the session was logged out')
    },
  )

  test('an API of 0.1.0 on the same database still sends later changes to clients', async () => {
    const releasedApi = await serveApi(database, {}, await importReleasedService())
    onTestFinished(releasedApi.close)
    const client = createLastLogoutClient({ url: releasedApi.url, apiKey: KEY, onUnknown: 'deny' })
    onTestFinished(client.close)
    await client.ready()
    const otherUser = 'auth0|reported beside 0.1.0'
    await request('/v1/logouts', { user_id: otherUser })
    await expect.poll(() => client.checkNow(claims('S', otherUser)).outcome).toBe('revoked')
  })
})

describe('when the log with the entries of the forgotten person is read again', () => {
  test.each<[string, () => Promise<unknown>]>([
    // A sync always reconciles: it searches the recent log again for late entries.
    ['by a reconcile', async () => {}],
    [
      'from an older checkpoint',
      () =>
        database.query('UPDATE tenant SET checkpoint = $1', [
          syntheticLogId(NOW - MINUTE_MS, '900'),
        ]),
    ],
    [
      'after an outage of two hours',
      () =>
        database.query(
          'UPDATE tenant SET checkpoint = $1, as_of = $2, last_poll_at = $2, reconciled_to = $2',
          [syntheticLogId(NOW - 2 * HOUR_MS, '900'), new Date(NOW - 2 * HOUR_MS)],
        ),
    ],
    [
      'by another sweep, which searches a span of time',
      () =>
        database.query('UPDATE tenant SET sweep_from = $1, sweep_to = $2', [
          new Date(NOW - HOUR_MS),
          new Date(NOW + HOUR_MS),
        ]),
    ],
    ['by a first start', () => database.query('UPDATE tenant SET checkpoint = NULL, as_of = NULL')],
  ])('reading the log again %s does not store the ids', async (_way, prepareTenantRow) => {
    await prepareTenantRow()
    await readLog()
    expect(await areIdsStored()).toBe(false)
    expect(await readLogouts()).toMatchObject(responseBefore)
  })

  test('an entry that Auth0 delivers by the log stream does not store the ids', async () => {
    const store = await openTestStore(database)
    onTestFinished(store.close)
    const entry = buildEntry('slo', { userId: USER, sessionId: PHONE })
    const body = JSON.stringify({ ...entry, date: new Date(NOW).toISOString() })
    await receive({ store, types: new Set(['slo']) }, body, new AbortController().signal)
    expect(await areIdsStored()).toBe(false)
  })
})
