import { type Level, pino } from 'pino'
import { vi } from 'vitest'
import { loadConfig } from '../../src/config/config.js'
import { toLoggedError } from '../../src/errors.js'
import { createService, type ServiceOverrides } from '../../src/service/service.js'
import { buildEntry } from '../../src/simulator/entries.js'
import type { Tenant } from '../../src/simulator/tenant.js'
import { KEY } from './served-api.js'
import { openTenant, tenantEnv } from './tenant.js'
import { WAIT } from './wait.js'

/** The status of a response, and the duration of the request in milliseconds. */
interface TimedResponse {
  status: number
  ms: number
}

/** A worker and an API, as `last-logout start` runs them, with a simulated tenant. */
export interface RunningService {
  url: string
  tenant: Tenant
  /** Writes a logout to the log of the tenant. Returns the entry as the Logs API does. */
  logout(userId: string): Record<string, unknown>
  /** Requests a user's last logout from the API. */
  requestUser(userId?: string): Promise<TimedResponse>
  /** Waits until the API returns a logout of the user. Returns the duration of the wait, in milliseconds. */
  waitForLogout(userId: string): Promise<number>
  /** Reports a logout of a user to the API. Returns the status. */
  reportLogout(userId: string): Promise<number>
  /** Requests a path that needs no API key. Returns the status. */
  requestStatus(path: string): Promise<number>
  /** Counts the log lines of this level and message. */
  countLines(level: Level, message: RegExp): number
  close(): Promise<void>
}

/**
 * Starts the service.
 *
 * @param env Variables such as `DATABASE_URL`, in addition to the variables of the tenant and the API. If it contains
 * `AUTH0_DOMAIN`, the simulated tenant has this domain.
 */
export async function runService(
  env: Record<string, string>,
  overrides: ServiceOverrides = {},
): Promise<RunningService> {
  const { AUTH0_DOMAIN: domain } = env
  const testTenant = await openTenant(domain === undefined ? {} : { domain })
  const written: string[] = []
  const config = loadConfig(
    {
      ...tenantEnv(testTenant.simulator),
      API_KEYS: `test:${KEY}:read+feed+logout`,
      PORT: '0',
      POLL_INTERVAL: '200ms',
      ...env,
    },
    ['auth0', 'api', 'database'],
  )
  const options = { level: 'info', serializers: { err: toLoggedError } }
  const log = pino(options, { write: (line: string) => void written.push(line) })
  const service = await createService(config, log, { waitForDatabase: true, overrides })
  const url = await service.startApi()
  const stop = new AbortController()
  const workerStart = service.waitUntilOpen(stop.signal).then(() => service.startWorker())
  // The start rejects if a test closes the service before the database is available. This is no failure of the test.
  workerStart.catch(() => {})

  const request = async (path: string) => {
    const startedAt = performance.now()
    const response = await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${KEY}` } })
    const body = (await response.json()) as { last_logout_at?: string | null }
    return { status: response.status, ms: performance.now() - startedAt, body }
  }
  const readUser = (userId: string) =>
    request(`/v1/last-logout?user_id=${encodeURIComponent(userId)}`)
  return {
    url,
    tenant: testTenant.tenant,
    logout: (userId) =>
      testTenant.tenant.write(buildEntry('slo', { userId, sessionId: userId })).entry,
    async requestUser(userId = 'auth0|unknown') {
      const { status, ms } = await readUser(userId)
      return { status, ms }
    },
    async waitForLogout(userId) {
      const startedAt = performance.now()
      await vi.waitFor(async () => {
        const { body } = await readUser(userId)
        if (!body.last_logout_at) throw new Error(`the API returns no logout of ${userId}`)
      }, WAIT)
      return Math.round(performance.now() - startedAt)
    },
    async reportLogout(userId) {
      const { status } = await fetch(`${url}/v1/logouts`, {
        method: 'POST',
        headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
        body: JSON.stringify({ user_id: userId }),
      })
      return status
    },
    requestStatus: async (path) => (await request(path)).status,
    countLines: (level, message) =>
      written
        .map((line) => JSON.parse(line))
        .filter((line) => line.level === pino.levels.values[level] && message.test(line.msg))
        .length,
    async close() {
      stop.abort()
      await workerStart.catch(() => {})
      await service.close()
      await testTenant.close()
    },
  }
}
