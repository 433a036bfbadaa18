import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { type Closers, createClosers } from '../closers.js'
import { loadConfig } from '../config.js'
import { createService, type Service } from '../service.js'
import { generateHistory } from '../simulator/history.js'
import { createSimulator, type Simulator } from '../simulator/server.js'
import { createTenant, type LogEntry, type Tenant } from '../simulator/tenant.js'
import { createTraffic } from '../simulator/traffic.js'
import { openApp } from './open-app.js'

const DOMAIN = 'acme.eu.auth0.com'
const HOUR_MS = 3_600_000
/** Something happens in the simulated tenant this often, in milliseconds. */
const TRAFFIC_INTERVAL_MS = 1_000
/** The port that is tried first. */
const PORT = '8080'

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

    const keys = { demo: createKey(), action: createKey(), app: createKey() }
    const config = loadConfig(
      {
        ...environmentFor(simulator, dataDir),
        API_KEYS: `demo:${keys.demo},action:${keys.action}:read,order-desk:${keys.app}:feed+read`,
        HOST: env.HOST,
        PORT: env.PORT || (await freePort(PORT)),
        POLICY: env.POLICY,
        LOG_LEVEL: env.LOG_LEVEL,
      },
      ['auth0', 'api', 'database'],
    )
    const service = await createService(config, await createLog(config.logLevel), {
      durable: false,
    })
    closers.push(() => service.close())
    const apiUrl = await startService(service, stop)
    const pageUrl = await openApp({ tenant, apiUrl, keys, enterprise }, closers)
    startTraffic(tenant, closers)

    const { url: tenantUrl } = simulator
    const { policy } = config
    const about = { pageUrl, apiUrl, tenantUrl, dataDir, key: keys.demo, policy, userId: loggedOut }
    return { ...about, close: closers.close }
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

async function startService(service: Service, stop: AbortSignal): Promise<string> {
  await service.sync(stop)
  const apiUrl = await service.startApi()
  await service.startWorker()
  return apiUrl
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

/** The preferred port, or any where it is taken. */
function freePort(preferred: string): Promise<string> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve('0'))
    probe.listen(Number(preferred), '127.0.0.1', () => probe.close(() => resolve(preferred)))
  })
}
