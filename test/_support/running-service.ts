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

/** The status of a response, and the duration of its request. */
interface TimedResponse {
  status: number
  ms: number
}

/** The worker and the API in one process, as with `last-logout start`, and the simulated tenant whose log they read. */
export interface RunningService {
  url: string
  tenant: Tenant
  /** Writes a logout to the log of the tenant. Returns the log entry, in the format of Auth0's Logs API. */
  logout(userId: string): Record<string, unknown>
  /** Requests the last logout of a user from the API. */
  requestUser(userId?: string): Promise<TimedResponse>
  /** Waits until the API returns a logout of the user. Returns the milliseconds until then. */
  waitForLogout(userId: string): Promise<number>
  /** Reports a logout of a user to the API. Returns the status. */
  reportLogout(userId: string): Promise<number>
  /** Requests a path that needs no API key. Returns the status. */
  requestStatus(path: string): Promise<number>
  /** Counts the log lines with this level whose message matches. */
  countLines(level: Level, message: RegExp): number
  close(): Promise<void>
}

/**
 * Starts the service.
 *
 * @param env Variables such as `DATABASE_URL`. They replace or complete the variables that this function sets. If
 *   `AUTH0_DOMAIN` is set, the simulated tenant has this domain.
 */
export async function runService(
  env: Record<string, string>,
  overrides: ServiceOverrides = {},
): Promise<RunningService> {
  const { AUTH0_DOMAIN: domain } = env
  const testTenant = await openTenant(domain === undefined ? {} : { domain })
  const logLines: string[] = []
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
  const log = pino(options, { write: (line: string) => void logLines.push(line) })
  const service = await createService(config, log, { waitForDatabase: true, overrides })
  const url = await service.startApi()
  const stop = new AbortController()
  const workerStart = service.waitUntilOpen(stop.signal).then(() => service.startWorker())
  // `workerStart` rejects if a test closes the service before the database is available. The test must not fail then.
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
      logLines
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
