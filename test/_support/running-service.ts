import { type Level, pino } from 'pino'
import { vi } from 'vitest'
import { loadConfig } from '../../src/config/config.js'
import { toLoggedError } from '../../src/errors.js'
import { createService, type ServiceOverrides } from '../../src/service/service.js'
import { buildEntry } from '../../src/simulator/entries.js'
import type { Tenant } from '../../src/simulator/tenant.js'
import { KEY } from './served-api.js'
import { openTenant, tenantEnv } from './tenant.js'

/** How long a condition may take that depends on a store. */
export const PATIENCE = { timeout: 20_000, interval: 20 }

/** An answer to a question after a user, and how long it took. */
interface Answer {
  status: number
  ms: number
}

/** Worker and API as `last-logout start` runs them, around a simulated tenant. */
export interface RunningService {
  url: string
  tenant: Tenant
  /** Logs a user out in the tenant; returns the entry as it is served. */
  logout(userId: string): Record<string, unknown>
  /** Asks the API after a user. */
  ask(userId?: string): Promise<Answer>
  /** Resolves when the API knows of the user's logout, to how long that took, in milliseconds. */
  knows(userId: string): Promise<number>
  /** Reports a user's logout by the API; resolves to the status. */
  report(userId: string): Promise<number>
  /** The status of a path that is open to everybody. */
  status(path: string): Promise<number>
  /** How many lines of this level and message the log has. */
  count(level: Level, message: RegExp): number
  close(): Promise<void>
}

/** Starts the service; `env` says which stores it has, `overrides` which limits. */
export async function runService(
  env: Record<string, string>,
  overrides: ServiceOverrides = {},
): Promise<RunningService> {
  const t = await openTenant()
  const written: string[] = []
  const config = loadConfig(
    {
      ...tenantEnv(t.simulator),
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
  const working = service.opened(stop.signal).then(() => service.startWorker())
  // Those who stop it before the database is there need no worker.
  working.catch(() => {})

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
    tenant: t.tenant,
    logout: (userId) => t.tenant.write(buildEntry('slo', { userId, sessionId: userId })).entry,
    async ask(userId = 'auth0|nobody') {
      const { status, ms } = await readUser(userId)
      return { status, ms }
    },
    async knows(userId) {
      const startedAt = performance.now()
      await vi.waitFor(async () => {
        const { body } = await readUser(userId)
        if (!body.last_logout_at) throw new Error(`no logout of ${userId} is known`)
      }, PATIENCE)
      return Math.round(performance.now() - startedAt)
    },
    async report(userId) {
      const { status } = await fetch(`${url}/v1/logouts`, {
        method: 'POST',
        headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
        body: JSON.stringify({ user_id: userId }),
      })
      return status
    },
    status: async (path) => (await request(path)).status,
    count: (level, message) =>
      written
        .map((line) => JSON.parse(line))
        .filter((line) => line.level === pino.levels.values[level] && message.test(line.msg))
        .length,
    async close() {
      stop.abort()
      await working.catch(() => {})
      await service.close()
      await t.close()
    },
  }
}
