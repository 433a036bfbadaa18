import { pino } from 'pino'
import { vi } from 'vitest'
import type { Claims, LastLogoutClient } from '../../src/client/index.js'
import { loadConfig } from '../../src/config/config.js'
import type { Counts } from '../../src/ports.js'
import { createService, type Service } from '../../src/service/service.js'
import type { Tenant } from '../../src/simulator/tenant.js'
import { openClient } from './client.js'
import type { Clock } from './clock.js'
import { createTestDatabase } from './database.js'
import { KEY } from './served-api.js'
import { openTenant, type TestTenant, tenantEnv } from './tenant.js'

/** How late the tenant stores an entry, in milliseconds. */
export const LAG_MS = 3_000

/** More than any clock of a test goes on: a management token lives a day by default. */
const YEAR_SECONDS = 365 * 86_400

/** All of last-logout around a simulated tenant, on one clock, and the client of a resource server. */
export interface WholeSystem {
  clock: Clock
  tenant: Tenant
  /** Of an Action that asks this service. */
  secrets: Record<string, string>
  /** Reads the log to its end; resolves when the client knows what it says. */
  poll(): Promise<void>
  /** Whether the resource server lets a token pass; throws where it cannot say. */
  accepts(claims: Claims): Promise<boolean>
  /** An operator's logout: it ends the user's tokens, and no session of Auth0's. */
  reportLogout(userId: string): Promise<void>
  count(): Promise<Counts>
  close(): Promise<void>
}

/** Starts the service and a client of its change feed. */
export async function openWholeSystem(
  clock: Clock,
  env: Record<string, string> = {},
): Promise<WholeSystem> {
  const database = await createTestDatabase()
  const t = await openTenant(
    { now: clock.now, lagMs: () => LAG_MS },
    { expiresInSeconds: YEAR_SECONDS },
  )
  const service = await openService(clock, t, { DATABASE_URL: database.url, ...env })
  const url = await service.startApi()
  await service.sync(new AbortController().signal)
  const client = openClient(url)
  await client.ready()
  return {
    clock,
    tenant: t.tenant,
    secrets: { LAST_LOGOUT_URL: url, LAST_LOGOUT_API_KEY: KEY },
    poll: () => poll(service, client, clock),
    accepts: (claims) => accepts(client, claims),
    reportLogout: (userId) => reportLogout(url, userId, clock),
    count: service.store.count,
    async close() {
      await client.close()
      await service.close()
      await t.close()
      await database.drop()
    },
  }
}

function openService(
  clock: Clock,
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
  return createService(config, pino({ level: 'silent' }), { now: clock.now })
}

const PATIENCE = { timeout: 10_000, interval: 2 }

let polls = 0

/** The feed is in the order of commits: who knows of the last has heard of all before it. */
async function poll(service: Service, client: LastLogoutClient, clock: Clock): Promise<void> {
  await service.sync(new AbortController().signal)
  const userId = `last-of-poll|${++polls}`
  const at = clock.now()
  await service.store.storeReported({ userId, sessionId: null, at, type: 'reported_logout' })
  const last = { sub: userId, iat: at / 1000 - 60 }
  await vi.waitFor(() => {
    if (client.checkNow(last).outcome !== 'revoked') throw new Error('the feed lags behind')
  }, PATIENCE)
}

async function accepts(client: LastLogoutClient, claims: Claims): Promise<boolean> {
  const { outcome, reason } = await client.check(claims)
  if (outcome === 'unknown') throw new Error(`the client cannot say: ${reason}`)
  return outcome === 'accepted'
}

async function reportLogout(url: string, userId: string, clock: Clock): Promise<void> {
  const { status } = await fetch(`${url}/v1/logouts`, {
    method: 'POST',
    headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({ user_id: userId, at: new Date(clock.now()).toISOString() }),
  })
  if (status !== 200) throw new Error(`the logout was answered with ${status}`)
}
