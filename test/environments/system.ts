import { pino } from 'pino'
import { loadConfig } from '../../src/config/config.js'
import { migrate } from '../../src/service/open-database.js'
import { createService, type Service } from '../../src/service/service.js'
import { buildEntry } from '../../src/simulator/entries.js'
import type { Simulator } from '../../src/simulator/server.js'
import type { Tenant } from '../../src/simulator/tenant.js'
import { finishCommandLine } from '../_support/command-line.js'
import { KEY, METRICS_KEY } from '../_support/served-api.js'
import { openTenant, tenantEnv } from '../_support/tenant.js'

const DAY_MS = 86_400_000

/** Maximum duration of reading the log, which contains three entries, in milliseconds. */
const SYNC_TIMEOUT_MS = 8_000

/** The numbers of these months in the methods of `Date`. */
const JANUARY = 0
const JULY = 6

/** One logout in January and one in July, because the offset of a time zone with summer time differs between them. */
export const LOGOUTS = {
  summer: { userId: 'auth0|summer', sessionId: 'summer-session', at: middleOfPast(JULY) },
  winter: { userId: 'auth0|winter', sessionId: undefined, at: middleOfPast(JANUARY) },
}

/** A floor before both logouts. A floor ends the tokens of all earlier logins. */
export const FLOOR = Math.min(LOGOUTS.summer.at, LOGOUTS.winter.at) - DAY_MS

/** The value of `MAX_REFRESH_AGE`. Both logouts are more recent. */
export const MAX_REFRESH_AGE_MS = 380 * DAY_MS

/** A service that has read the log of its tenant once. The log contains two logouts. */
export interface System {
  url: string
  tenant: Tenant
  service: Service
  /** When the service began to read the log. */
  startedAt: number
  /** The error that stopped the reading of the log; `null`: the log was read to its end. */
  failure: unknown
  /** Returns the number of requests to the Logs API so far. */
  logRequests(): number
  /** Requests a path of the API. Uses POST if there is a body, otherwise GET. */
  request(path: string, body?: object): Promise<{ status: number; body: Record<string, unknown> }>
  /** Runs a command in this process. Returns its output. */
  run(...args: string[]): Promise<string>
  close(): Promise<void>
}

/** Migrates the database, serves the API, and reads the tenant's log once. */
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

/**
 * Writes a log with a login and both logouts. The login is older than `MAX_REFRESH_AGE`. Otherwise the service would
 * report a gap: it would not know whether Auth0 has deleted logouts that still concern tokens.
 */
function writeLog(tenant: Tenant): void {
  const firstEntryAt = Date.now() - MAX_REFRESH_AGE_MS - 10 * DAY_MS
  tenant.write(buildEntry('s', { userId: 'auth0|1' }), { dateMs: firstEntryAt })
  for (const { at, userId, sessionId } of Object.values(LOGOUTS)) {
    const subject = sessionId === undefined ? { userId } : { userId, sessionId }
    tenant.write(buildEntry('slo', subject), { dateMs: at })
  }
}

function toEnv(simulator: Simulator, databaseEnv: Record<string, string>): Record<string, string> {
  return {
    ...tenantEnv(simulator),
    ...databaseEnv,
    API_KEYS: `test:${KEY}:read+check+feed+logout,scraper:${METRICS_KEY}:metrics`,
    PORT: '0',
    POLL_INTERVAL: '200ms',
    MAX_REFRESH_AGE: `${MAX_REFRESH_AGE_MS / DAY_MS}d`,
    RETAIN_DAYS: '400',
  }
}

async function request(url: string, body?: object) {
  const headers = { authorization: `Bearer ${KEY}` }
  const postOptions = {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  }
  const response = await fetch(url, body === undefined ? { headers } : postOptions)
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

async function run(env: Record<string, string>, args: string[]): Promise<string> {
  const { code, stdout, stderr } = await finishCommandLine(args, env)
  if (code !== 0) throw new Error(stderr)
  return stdout
}

/** Returns an instant in the middle of the latest month with this number that is over. */
function middleOfPast(month: number): number {
  const now = new Date()
  const year = now.getUTCMonth() > month ? now.getUTCFullYear() : now.getUTCFullYear() - 1
  return Date.UTC(year, month, 15, 12, 34, 56, 789)
}
