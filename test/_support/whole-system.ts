import { pino } from 'pino'
import { vi } from 'vitest'
import type { Claims, LastLogoutClient } from '../../src/client/index.js'
import { loadConfig } from '../../src/config/config.js'
import type { RowCounts } from '../../src/ports.js'
import { createService, type Service } from '../../src/service/service.js'
import type { Tenant } from '../../src/simulator/tenant.js'
import { openClient } from './client.js'
import type { Clock } from './clock.js'
import { createTestDatabase } from './database.js'
import { KEY } from './served-api.js'
import { openTenant, type TestTenant, tenantEnv } from './tenant.js'

/** Storage delay of the tenant, in milliseconds. */
export const LAG_MS = 3_000

/** Lifetime of management tokens, longer than any test advances the clock. */
const YEAR_SECONDS = 365 * 86_400

/** The whole system on one clock: a simulated tenant, the service, and the client of a resource server. */
export interface WholeSystem {
  clock: Pick<Clock, 'now'>
  tenant: Tenant
  /** The secrets of an Action that uses this service. */
  secrets: Record<string, string>
  /** The client of the resource server. */
  client: LastLogoutClient
  /** Reads the log to its end, and waits until the client has received the changes. */
  poll(): Promise<void>
  /** Waits until the client has received all stored changes. */
  deliver(): Promise<void>
  /** Returns whether the resource server accepts a token. Throws if the outcome is unknown. */
  accepts(claims: Claims): Promise<boolean>
  /** Reports a logout of all sessions to the API. The sessions of Auth0 do not end. */
  reportLogout(userId: string): Promise<void>
  count(): Promise<RowCounts>
  close(): Promise<void>
}

/** Starts the service and a client of its change feed. `close` also closes the tenant. */
export async function openWholeSystem(
  clock: Pick<Clock, 'now'>,
  env: Record<string, string> = {},
  openedTenant?: TestTenant,
): Promise<WholeSystem> {
  const database = await createTestDatabase()
  const testTenant =
    openedTenant ??
    (await openTenant({ now: clock.now, lagMs: () => LAG_MS }, { expiresInSeconds: YEAR_SECONDS }))
  const service = await openService(clock, testTenant, { DATABASE_URL: database.url, ...env })
  const url = await service.startApi()
  await service.sync(new AbortController().signal)
  const client = openClient(url)
  await client.ready()
  const deliver = () => waitForDelivery(service, client, clock)
  return {
    clock,
    tenant: testTenant.tenant,
    client,
    secrets: { LAST_LOGOUT_URL: url, LAST_LOGOUT_API_KEY: KEY },
    async poll() {
      await service.sync(new AbortController().signal)
      await deliver()
    },
    deliver,
    accepts: (claims) => accepts(client, claims),
    reportLogout: (userId) => reportLogout(url, userId, clock),
    count: service.store.count,
    async close() {
      await client.close()
      await service.close()
      await testTenant.close()
      await database.drop()
    },
  }
}

function openService(
  clock: Pick<Clock, 'now'>,
  { simulator }: TestTenant,
  env: Record<string, string>,
): Promise<Service> {
  const config = loadConfig(
    {
      ...tenantEnv(simulator),
      API_KEYS: `test:${KEY}:read+feed+logout`,
      PORT: '0',
      ...env,
    },
    ['auth0', 'api', 'database'],
  )
  return createService(config, pino({ level: 'silent' }), { overrides: { now: clock.now } })
}

const WAIT = { timeout: 10_000, interval: 2 }

let deliveries = 0

/**
 * Waits until the client has received all changes: reports a logout of a new user, and waits until the client has
 * received this logout. The feed is in commit order, so the client then has all earlier changes.
 */
async function waitForDelivery(
  service: Service,
  client: LastLogoutClient,
  clock: Pick<Clock, 'now'>,
): Promise<void> {
  const userId = `last-delivered|${++deliveries}`
  const at = clock.now()
  await service.store.storeReported({ userId, sessionId: null, at, type: 'reported_logout' })
  const lastClaims = { sub: userId, iat: at / 1000 - 60 }
  await vi.waitFor(() => {
    if (client.checkNow(lastClaims).outcome !== 'revoked')
      throw new Error('the client has not received the last change')
  }, WAIT)
}

async function accepts(client: LastLogoutClient, claims: Claims): Promise<boolean> {
  const { outcome, reason } = await client.check(claims)
  if (outcome === 'unknown') throw new Error(`the outcome is unknown: ${reason}`)
  return outcome === 'accepted'
}

async function reportLogout(url: string, userId: string, clock: Pick<Clock, 'now'>): Promise<void> {
  const { status } = await fetch(`${url}/v1/logouts`, {
    method: 'POST',
    headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({ user_id: userId, at: new Date(clock.now()).toISOString() }),
  })
  if (status !== 200) throw new Error(`the response to the logout report was ${status}`)
}
