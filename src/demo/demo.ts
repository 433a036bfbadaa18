import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { type Closers, createClosers } from '../async/closers.js'
import { loadConfig } from '../config/config.js'
import { createService } from '../service/service.js'
import { generateHistory } from '../simulator/history.js'
import { createSimulator, type Simulator } from '../simulator/server.js'
import { createTenant, type LogEntry, type Tenant } from '../simulator/tenant.js'
import { createTraffic } from '../simulator/traffic.js'
import { listen } from './listen.js'
import { openApp } from './open-app.js'

const DOMAIN = 'acme.eu.auth0.com'
const HOUR_MS = 3_600_000
/** Something happens in the simulated tenant this often, in milliseconds. */
const TRAFFIC_INTERVAL_MS = 1_000
/** The port that is tried first. */
const PORT = 8080

/** What the demo is run with. */
export interface DemoOptions {
  /** Of it `HOST`, `PORT`, `POLICY` and `LOG_LEVEL` count. */
  env: Record<string, string | undefined>
  createLog(level: string): Promise<Logger>
  stop: AbortSignal
  /** Whether logins are given what only Enterprise plans have. */
  enterprise: boolean
  /** How late the tenant stores an entry, in milliseconds; default a random 0–6 s. */
  lagMs?: () => number
}

/** A running demo. */
export interface Demo {
  /** Where the page is served. */
  pageUrl: string
  /** Where the API is served. */
  apiUrl: string
  /** Where the simulated tenant's Management API is served. */
  tenantUrl: string
  dataDir: string
  key: string
  policy: string
  /** Whom the tokens of the app are from, and which API they are for. */
  issuer: string
  audience: string
  /** Somebody who has logged out. */
  userId: string
  close(): Promise<void>
}

/**
 * Runs everything against a simulated tenant with people logging in and out: an hour of history,
 * then one thing after the other. Its database is deleted when it closes.
 */
export async function createDemo(options: DemoOptions): Promise<Demo> {
  const { env, createLog, stop, enterprise } = options
  const closers = createClosers()
  try {
    const dataDir = await mkdtemp(join(tmpdir(), 'last-logout-demo-'))
    closers.push(() => rm(dataDir, { recursive: true, force: true }))
    const { tenant, simulator, loggedOut } = await openTenant(options, closers)

    const port = await reservePort(env.HOST || '127.0.0.1')
    closers.push(port.release)
    const keys = { demo: createKey(), action: createKey(), app: createKey() }
    const config = loadConfig(
      {
        ...environmentFor(simulator, dataDir),
        API_KEYS: `demo:${keys.demo}:read+check+feed+logout,action:${keys.action}:read,order-desk:${keys.app}:feed+read`,
        HOST: env.HOST,
        PORT: env.PORT || port.number,
        POLICY: env.POLICY,
        // Polls every two seconds would push away what was said at the beginning.
        LOG_LEVEL: env.LOG_LEVEL || 'warn',
      },
      ['auth0', 'api', 'database'],
    )
    const log = await createLog(config.logLevel)
    const service = await createService(config, log, { durable: false })
    closers.push(() => service.close())
    await service.sync(stop)
    await port.release()
    const apiUrl = await service.startApi()
    await service.startWorker()
    const say = (line: string) => log.info({ part: 'action' }, line)
    const app = await openApp({ tenant, apiUrl, keys, enterprise, say }, closers)
    startTraffic(tenant, closers)

    const { policy } = config
    const about = { apiUrl, tenantUrl: simulator.url, dataDir, key: keys.demo, policy }
    return { ...about, ...app, userId: loggedOut, close: closers.close }
  } catch (error) {
    await closers.close()
    throw error
  }
}

async function openTenant({ lagMs }: DemoOptions, closers: Closers) {
  const tenant = createTenant({ domain: DOMAIN, ...(lagMs && { lagMs }) })
  const history = generateHistory({
    entries: 2_000,
    users: 50,
    domain: DOMAIN,
    startMs: Date.now() - HOUR_MS,
    endMs: Date.now(),
  })
  tenant.writeStored(history)
  const simulator = await createSimulator({ tenant })
  closers.push(() => simulator.close())
  return { tenant, simulator, loggedOut: findLoggedOut(history) }
}

function startTraffic(tenant: Tenant, closers: Closers): void {
  const traffic = createTraffic(tenant)
  closers.push(async () => traffic.close())
  traffic.start(TRAFFIC_INTERVAL_MS)
}

function environmentFor({ url, credentials }: Simulator, dataDir: string) {
  return {
    AUTH0_DOMAIN: DOMAIN,
    AUTH0_BASE_URL: url,
    AUTH0_CLIENT_ID: credentials.clientId,
    AUTH0_CLIENT_SECRET: credentials.clientSecret,
    DATA_DIR: dataDir,
    POLL_INTERVAL: '2s',
  }
}

function createKey(): string {
  return randomBytes(24).toString('base64url')
}

function findLoggedOut(history: LogEntry[]): string {
  const logout = history.findLast(({ type, user_id }) => type === 'slo' && user_id)
  return String(logout?.user_id)
}

/** Keeps the preferred port, or any where it is taken, for whoever listens there in a moment. */
async function reservePort(host: string): Promise<{ number: string; release(): Promise<void> }> {
  const reserved = await listen(PORT, host).catch(() => null)
  // Who cannot listen there at all is told so when it matters.
  if (reserved === null) return { number: `${PORT}`, release: async () => {} }
  const { url, close } = reserved
  let released: Promise<void> | undefined
  const release = () => {
    released ??= close()
    return released
  }
  return { number: new URL(url).port, release }
}
