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
import { loadActionWithLog } from '../_support/run-action.js'
import { KEY } from '../_support/served-api.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'

const SESSION = 'https://last-logout/session_id'
const LOGGED_OUT = 'last_logout: the session was logged out'
const MINUTE_MS = 60_000
const NOW = Date.now()
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

interface RunningService {
  url: string
  close(): Promise<void>
}

/** Starts a service, and reads the log of the tenant to its end. */
async function start({ url }: TestDatabase, release: typeof current): Promise<RunningService> {
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

async function createReleasedDatabase(): Promise<TestDatabase> {
  const database = await createTestDatabase('template0')
  await released.applyMigrations(database.url)
  return database
}

/** The claims of a token. By default, the token was issued a minute before the logouts. */
const token = (sub: string, sessionId: string, minutes = -1) => ({
  sub,
  iat: Math.floor(NOW / 1000) + minutes * 60,
  [SESSION]: sessionId,
})

async function report({ url }: RunningService, path: string, body: object): Promise<unknown> {
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
  let service: RunningService
  beforeAll(async () => {
    database = await createDatabase()
    service = await start(database, release)
  })
  afterAll(async () => {
    await service.close()
    await database.drop()
  })

  describe.each(clients)('works with %s', (_client, createClient) => {
    test.each(['feed', 'request'] as const)(
      'the client with lookup %s refuses revoked tokens only',
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
            [token(userId, 'phone'), token(userId, 'laptop'), token(userId, 'again', 5)].map(
              async (claims) => (await client.check(claims)).outcome,
            ),
          )
          expect([userId, ...outcomes]).toEqual([userId, 'revoked', 'accepted', 'accepted'])
        }
        expect(errors).toEqual([])
      },
    )
  })

  test.each(actions)('%s denies exchanges of logged-out sessions only', async (_action, code) => {
    const run = loadActionWithLog(code)
    const exchange = async (user_id: string, session_id: string) => {
      const { denied, logLines } = await run({
        user: { user_id },
        transaction: { protocol: 'oauth2-refresh-token' },
        refresh_token: { session_id, created_at: new Date(NOW - MINUTE_MS).toISOString() },
        secrets: {
          LAST_LOGOUT_URL: service.url,
          LAST_LOGOUT_API_KEY: KEY,
          LAST_LOGOUT_ON_ERROR: 'deny',
          LAST_LOGOUT_TIMEOUT_MS: '5000',
        },
      })
      expect(logLines).toEqual([])
      return denied
    }
    for (const userId of USERS) {
      expect(await exchange(userId, 'phone')).toBe(LOGGED_OUT)
      expect(await exchange(userId, 'laptop')).toBeNull()
    }
  })

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

test('a client of a 0.1.0 or current service receives logouts that the other service stores in the same database', async () => {
  const database = await createTestDatabase()
  onTestFinished(database.drop)
  const newer = await start(database, current)
  onTestFinished(newer.close)
  const older = await start(database, released)
  onTestFinished(older.close)
  const pairs = [
    [newer, older],
    [older, newer],
  ] as const
  for (const [index, [writer, reader]] of pairs.entries()) {
    const userId = `auth0|reported ${index}`
    const client = createLastLogoutClient({ url: reader.url, apiKey: KEY, onUnknown: 'deny' })
    onTestFinished(client.close)
    await client.ready()
    const claims = token(userId, 'S')
    expect(client.checkNow(claims).outcome).toBe('accepted')
    const at = new Date(NOW).toISOString()
    await report(writer, `/v1/users/${encodeURIComponent(userId)}/logout`, { at })
    await expect.poll(() => client.checkNow(claims).outcome, { timeout: 10_000 }).toBe('revoked')
  }
})
