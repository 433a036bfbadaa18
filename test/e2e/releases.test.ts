import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { readActionFile } from '../../src/auth0/actions/code.js'
import { createLastLogoutClient } from '../../src/client/index.js'
import { loadConfig } from '../../src/config/config.js'
import { createService } from '../../src/service/service.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import {
  importReleasedClient,
  importReleasedService,
  readReleasedAction,
} from '../_support/release-0-1-0.js'
import { buildExchangeEvent, loadActionWithLog } from '../_support/run-action.js'
import { KEY } from '../_support/served-api.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'

/** The claim with the session id that the login Action adds to tokens. */
const SESSION_CLAIM = 'https://last-logout/session_id'
/** The message with which the login Action denies an exchange. */
const LOGGED_OUT = 'last_logout: the session was logged out'
const MINUTE_MS = 60_000
const NOW = Date.now()
/** Users whose session on the phone has logged out. Some ids have characters that a URL must encode. */
const USERS = ['auth0|123', 'samlp|corp|a/b', 'x|ü ł']

const current = { createService, loadConfig }
const released = await importReleasedService()
const clients = [
  ['the current client', createLastLogoutClient],
  ['the client of 0.1.0', (await importReleasedClient()).createLastLogoutClient],
] as const
const actions = [
  ['the current Action', await readActionFile()],
  ['the Action of 0.1.0', await readReleasedAction()],
] as const

let auth0: TestTenant
beforeAll(async () => {
  auth0 = await openTenant()
  for (const userId of USERS) auth0.tenant.write(buildEntry('slo', { userId, sessionId: 'phone' }))
})
afterAll(() => auth0.close())

interface RunningApi {
  url: string
  close(): Promise<void>
}

/** Reads the log of the tenant to its end with a release of the service, and starts its API. */
async function startApi({ url }: TestDatabase, release: typeof current): Promise<RunningApi> {
  const env = { DATABASE_URL: url, API_KEYS: `test:${KEY}:read+feed+logout`, PORT: '0' }
  const config = release.loadConfig({ ...tenantEnv(auth0.simulator), ...env }, [
    'auth0',
    'api',
    'database',
  ])
  const service = await release.createService(config, pino({ level: 'silent' }))
  await service.sync(new AbortController().signal)
  return { url: await service.startApi(), close: service.close }
}

/** Creates a database with the tables of 0.1.0. */
async function createReleasedDatabase(): Promise<TestDatabase> {
  const database = await createTestDatabase('template0')
  await released.applyMigrations(database.url)
  return database
}

/** The claims of a token. By default, the token was issued a minute before the logouts. */
const claimsOf = (sub: string, sessionId: string, minutesAfterLogout = -1) => ({
  sub,
  iat: Math.floor(NOW / 1000) + minutesAfterLogout * 60,
  [SESSION_CLAIM]: sessionId,
})

/** Sends a POST request that reports a logout. Returns the body of the response. */
async function report({ url }: RunningApi, path: string, body: object): Promise<unknown> {
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  expect(response.status).toBe(200)
  return response.json()
}

describe.each([
  ['the current service', current, createTestDatabase],
  ['the service of 0.1.0, on the tables of 0.1.0', released, createReleasedDatabase],
  ['the service of 0.1.0, on the current tables', released, createTestDatabase],
] as const)('%s', (_name, release, createDatabase) => {
  let database: TestDatabase
  let service: RunningApi
  beforeAll(async () => {
    database = await createDatabase()
    service = await startApi(database, release)
  })
  afterAll(async () => {
    await service.close()
    await database.drop()
  })

  describe.each(clients)('with %s', (_client, createClient) => {
    test.each(['feed', 'request'] as const)(
      'the client with the option lookup=%s refuses the revoked tokens, and accepts the other tokens',
      async (lookup) => {
        const errors: unknown[] = []
        const client = createClient({
          url: service.url,
          apiKey: KEY,
          onUnknown: 'deny',
          lookup,
          onError: (error) => void errors.push(error),
        })
        onTestFinished(client.close)
        await client.ready()
        for (const userId of USERS) {
          const outcomes = await Promise.all(
            [
              claimsOf(userId, 'phone'),
              claimsOf(userId, 'laptop'),
              claimsOf(userId, 'session of a later login', 5),
            ].map(async (claims) => (await client.check(claims)).outcome),
          )
          expect([userId, ...outcomes]).toEqual([userId, 'revoked', 'accepted', 'accepted'])
        }
        expect(errors).toEqual([])
      },
    )
  })

  test.each(actions)(
    '%s denies exchanges of a session that was logged out, and allows exchanges of another session',
    async (_action, code) => {
      const runAction = loadActionWithLog(code)
      const exchange = async (userId: string, sessionId: string) => {
        const event = buildExchangeEvent(
          { userId, sessionId, createdAt: NOW - MINUTE_MS },
          {
            LAST_LOGOUT_URL: service.url,
            LAST_LOGOUT_API_KEY: KEY,
            LAST_LOGOUT_ON_ERROR: 'deny',
            LAST_LOGOUT_TIMEOUT_MS: '5000',
          },
        )
        const { denied, logLines } = await runAction(event)
        expect(logLines).toEqual([])
        return denied
      }
      for (const userId of USERS) {
        expect(await exchange(userId, 'phone')).toBe(LOGGED_OUT)
        expect(await exchange(userId, 'laptop')).toBeNull()
      }
    },
  )

  test('the service accepts the report of a logout in the format of 0.1.0', async () => {
    const at = new Date(NOW).toISOString()
    const path = `/v1/users/${encodeURIComponent('samlp|corp|c/d')}/logout`
    expect(await report(service, path, { at, session_id: 'S' })).toMatchObject({
      user_id: 'samlp|corp|c/d',
      last_logout_at: at,
      session: { session_id: 'S', logout_at: at },
    })
  })
})

test('a client of the current service receives logouts that the service of 0.1.0 stores in the same database, and the other way round', async () => {
  const database = await createTestDatabase()
  onTestFinished(database.drop)
  const currentApi = await startApi(database, current)
  onTestFinished(currentApi.close)
  const releasedApi = await startApi(database, released)
  onTestFinished(releasedApi.close)
  const pairs = [
    [currentApi, releasedApi],
    [releasedApi, currentApi],
  ] as const
  for (const [index, [writer, reader]] of pairs.entries()) {
    const userId = `auth0|reported ${index}`
    const client = createLastLogoutClient({ url: reader.url, apiKey: KEY, onUnknown: 'deny' })
    onTestFinished(client.close)
    await client.ready()
    const claims = claimsOf(userId, 'S')
    expect(client.checkNow(claims).outcome).toBe('accepted')
    const at = new Date(NOW).toISOString()
    await report(writer, `/v1/users/${encodeURIComponent(userId)}/logout`, { at })
    await expect.poll(() => client.checkNow(claims).outcome, { timeout: 10_000 }).toBe('revoked')
  }
})
