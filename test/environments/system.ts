import { pino } from 'pino'
import { loadConfig } from '../../src/config/config.js'
import { migrate } from '../../src/service/open-database.js'
import { createService, type Service } from '../../src/service/service.js'
import { buildEntry } from '../../src/simulator/entries.js'
import type { Simulator } from '../../src/simulator/server.js'
import type { Tenant } from '../../src/simulator/tenant.js'
import { finishCommandLine } from '../_support/command-line.js'
import { KEY } from '../_support/served-api.js'
import { openTenant, tenantEnv } from '../_support/tenant.js'

const DAY_MS = 86_400_000

/** The key that may read metrics. */
export const SCRAPER = 'a-scraper-of-more-than-32-characters'

/** How long reading two entries may take, in milliseconds. */
const SYNC_TIMEOUT_MS = 8_000

/** Two logouts, so that every time zone with summer time is once in it and once not. */
export const LOGOUTS = {
  summer: { userId: 'auth0|summer', sessionId: 'summer-session', at: latest(6) },
  winter: { userId: 'auth0|winter', sessionId: undefined, at: latest(0) },
}

/** Before both. */
export const FLOOR = Math.min(LOGOUTS.summer.at, LOGOUTS.winter.at) - DAY_MS

/** An age that every instant of the table is within. */
export const MAX_REFRESH_AGE_MS = 380 * DAY_MS

/** The service around a tenant with two logouts, which it has read once. */
export interface System {
  url: string
  tenant: Tenant
  service: Service
  /** When reading began. */
  startedAt: number
  /** How reading ended: `null`, or with an error. */
  failure: unknown
  logRequests(): number
  /** Requests a path of the API; with a body, by POST. */
  request(path: string, body?: object): Promise<{ status: number; body: Record<string, unknown> }>
  /** Runs a command in this process; returns what it prints. */
  run(...args: string[]): Promise<string>
  close(): Promise<void>
}

/** Migrates the database, serves the API and reads the tenant's log. */
export async function openSystem(databaseEnv: Record<string, string>): Promise<System> {
  const { tenant, simulator, close } = await openTenant()
  writeLog(tenant)
  const env = toEnv(simulator, databaseEnv)
  const config = loadConfig(env, ['auth0', 'api', 'database'])
  await migrate(config)
  const service = await createService(config, pino({ level: 'silent' }))
  const url = await service.startApi()
  const startedAt = Date.now()
  const failure = await service.sync(AbortSignal.timeout(SYNC_TIMEOUT_MS)).then(
    () => null,
    (error: unknown) => error,
  )
  return {
    url,
    tenant,
    service,
    startedAt,
    failure,
    logRequests: () => simulator.requests.count({ path: '/api/v2/logs' }),
    request: (path, body) => request(`${url}${path}`, body),
    run: (...args) => run(env, args),
    async close() {
      await service.close()
      await close()
    },
  }
}

/** Writes a log that begins long before the logouts, so that no gap is found. */
function writeLog(tenant: Tenant): void {
  const before = Date.now() - MAX_REFRESH_AGE_MS - 10 * DAY_MS
  tenant.write(buildEntry('s', { userId: 'auth0|1' }), { dateMs: before })
  for (const { at, ...subject } of Object.values(LOGOUTS)) {
    const { sessionId, userId } = subject
    const about = sessionId === undefined ? { userId } : { userId, sessionId }
    tenant.write(buildEntry('slo', about), { dateMs: at })
  }
}

function toEnv(simulator: Simulator, databaseEnv: Record<string, string>): Record<string, string> {
  return {
    ...tenantEnv(simulator),
    ...databaseEnv,
    API_KEYS: `test:${KEY}:read+check+feed+logout,scraper:${SCRAPER}:metrics`,
    PORT: '0',
    POLL_INTERVAL: '200ms',
    MAX_REFRESH_AGE: `${MAX_REFRESH_AGE_MS / DAY_MS}d`,
    RETAIN_DAYS: '400',
  }
}

async function request(url: string, body?: object) {
  const headers = { authorization: `Bearer ${KEY}` }
  const response = await fetch(
    url,
    body === undefined
      ? { headers }
      : {
          method: 'POST',
          headers: { ...headers, 'content-type': 'application/json' },
          body: JSON.stringify(body),
        },
  )
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

async function run(env: Record<string, string>, args: string[]): Promise<string> {
  const { code, stdout, stderr } = await finishCommandLine(args, env)
  if (code !== 0) throw new Error(stderr)
  return stdout
}

/** The middle of the latest such month that is over. */
function latest(month: number): number {
  const now = new Date()
  const year = now.getUTCMonth() > month ? now.getUTCFullYear() : now.getUTCFullYear() - 1
  return Date.UTC(year, month, 15, 12, 34, 56, 789)
}
