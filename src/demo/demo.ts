import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { createClosers } from '../closers.js'
import { loadConfig } from '../config.js'
import { createService } from '../service.js'
import { generateHistory } from '../simulator/history.js'
import { createSimulator, type Simulator } from '../simulator/server.js'
import { createTenant, type LogEntry } from '../simulator/tenant.js'
import { createTraffic } from '../simulator/traffic.js'

const DOMAIN = 'acme.eu.auth0.com'
const HOUR_MS = 3_600_000
/** Something happens in the simulated tenant this often, in milliseconds. */
const TRAFFIC_INTERVAL_MS = 1_000
/** The port that is tried first. */
const PORT = '8080'

/** What the demo is run with. */
export interface DemoOptions {
  /** Of it `HOST`, `PORT` and `LOG_LEVEL` count. */
  env: Record<string, string | undefined>
  createLog(level: string): Promise<Logger>
  stop: AbortSignal
}

/** A running demo. */
export interface Demo {
  /** Where the API is served. */
  apiUrl: string
  /** Where the simulated tenant is served. */
  tenantUrl: string
  dataDir: string
  key: string
  /** Somebody who has logged out. */
  userId: string
  close(): Promise<void>
}

/**
 * Runs everything against a simulated tenant with people logging in and out: an hour of history,
 * then one thing after the other. Its database is deleted when it closes.
 */
export async function createDemo({ env, createLog, stop }: DemoOptions): Promise<Demo> {
  const closers = createClosers()
  try {
    const dataDir = await mkdtemp(join(tmpdir(), 'last-logout-demo-'))
    closers.push(() => rm(dataDir, { recursive: true, force: true }))

    const tenant = createTenant({ domain: DOMAIN })
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

    const key = randomBytes(24).toString('base64url')
    const config = loadConfig(
      {
        ...environmentFor(simulator, dataDir, key),
        HOST: env.HOST,
        PORT: env.PORT || (await freePort(PORT)),
        LOG_LEVEL: env.LOG_LEVEL,
      },
      ['auth0', 'api', 'database'],
    )
    const log = await createLog(config.logLevel)
    const service = await createService(config, log, { durable: false })
    closers.push(() => service.close())

    await service.sync(stop)
    const apiUrl = await service.startApi()
    await service.startWorker()
    const traffic = createTraffic(tenant)
    closers.push(async () => traffic.close())
    traffic.start(TRAFFIC_INTERVAL_MS)
    const userId = findLoggedOut(history)
    return { apiUrl, tenantUrl: simulator.url, dataDir, key, userId, close: closers.close }
  } catch (error) {
    await closers.close()
    throw error
  }
}

function environmentFor({ url, credentials }: Simulator, dataDir: string, key: string) {
  return {
    AUTH0_DOMAIN: DOMAIN,
    AUTH0_BASE_URL: url,
    AUTH0_CLIENT_ID: credentials.clientId,
    AUTH0_CLIENT_SECRET: credentials.clientSecret,
    API_KEYS: `demo:${key}`,
    DATA_DIR: dataDir,
    POLL_INTERVAL: '2s',
  }
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
