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

/** How long after a logout Auth0 stores its log entry, in milliseconds. */
export const LAG_MS = 3_000

/** The lifetime of management tokens. No test advances the clock by a year, so the tokens never expire. */
const YEAR_SECONDS = 365 * 86_400

/** A simulated tenant, the service, and the client in an API. All of them use the same clock. */
export interface WholeSystem {
  clock: Pick<Clock, 'now'>
  tenant: Tenant
  /** The secrets of a login Action. They contain the URL of the service and the API key. */
  secrets: Record<string, string>
  /** The client in the API. */
  client: LastLogoutClient
  /** Reads the log to its end, and waits until the client has received the changes. */
  poll(): Promise<void>
  /** Waits until the client has received all stored changes. */
  waitForDelivery(): Promise<void>
  /** Returns whether the API accepts a token with these claims. Throws if the outcome is unknown. */
  accepts(claims: Claims): Promise<boolean>
  /** Reports a logout of all sessions to the service. The sessions in Auth0 do not end. */
  reportLogout(userId: string): Promise<void>
  /** Counts the stored rows. */
  count(): Promise<RowCounts>
  close(): Promise<void>
}

/** Starts the service and a client of its change feed. `close` also closes the tenant. */
export async function openWholeSystem(
  clock: Pick<Clock, 'now'>,
  env: Record<string, string> = {},
  existingTenant?: TestTenant,
): Promise<WholeSystem> {
  const database = await createTestDatabase()
  const testTenant =
    existingTenant ??
    (await openTenant({ now: clock.now, lagMs: () => LAG_MS }, { expiresInSeconds: YEAR_SECONDS }))
  const service = await openService(clock, testTenant, { DATABASE_URL: database.url, ...env })
  const url = await service.startApi()
  await service.sync(new AbortController().signal)
  const client = openClient(url)
  await client.ready()
  const waitForDelivery = () => waitForProbeLogout(service, client, clock)
  return {
    clock,
    tenant: testTenant.tenant,
    client,
    secrets: { LAST_LOGOUT_URL: url, LAST_LOGOUT_API_KEY: KEY },
    async poll() {
      await service.sync(new AbortController().signal)
      await waitForDelivery()
    },
    waitForDelivery,
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

/** Options of `vi.waitFor`, in milliseconds. The interval is short, because tests wait after every step. */
const WAIT = { timeout: 10_000, interval: 2 }

let probeCount = 0

/**
 * Waits until the client has received all changes. For this, it stores a logout of a new user, and waits until the
 * client has received this logout. The feed is in commit order, so the client then has all earlier changes.
 */
async function waitForProbeLogout(
  service: Service,
  client: LastLogoutClient,
  clock: Pick<Clock, 'now'>,
): Promise<void> {
  const userId = `probe|${++probeCount}`
  const at = clock.now()
  await service.store.storeReported({ userId, sessionId: null, at, type: 'reported_logout' })
  // A token that was issued a minute before the logout.
  const claims = { sub: userId, iat: at / 1000 - 60 }
  await vi.waitFor(() => {
    if (client.checkNow(claims).outcome !== 'revoked')
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
