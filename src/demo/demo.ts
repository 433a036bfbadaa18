import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { Logger } from 'pino'
import { type Closers, createClosers } from '../async/closers.js'
import { DEFAULT_HOST, DEFAULT_PORT, readApiUrl } from '../config/api-address.js'
import { createService } from '../service/service.js'
import { environmentOf } from '../simulator/environment.js'
import { generateHistory } from '../simulator/history.js'
import { createSimulator } from '../simulator/server.js'
import { createTenant, type Tenant } from '../simulator/tenant.js'
import { createTraffic } from '../simulator/traffic.js'
import { configureDemo, createKeys } from './configure.js'
import { type ApiBehindNginx, NGINX_DIRECTORIES, openApiBehindNginx } from './nginx.js'
import { openApp } from './open-app.js'
import { issuerOf, type LoginInfo, openLogin } from './open-login.js'
import { openServer } from './open-server.js'
import { AUDIENCE } from './provider.js'
import { preferUnless, reservePort } from './reserve-port.js'

/** Domain of the simulated tenant. */
export const DEMO_DOMAIN = 'acme.eu.auth0.com'
const HOUR_MS = 3_600_000
/** Interval between two events in the simulated tenant, in milliseconds. */
const TRAFFIC_INTERVAL_MS = 1_000
/** The preferred ports. If such a port is not free, any free port is used. */
const PORTS = { page: 3000, login: 3001, visitorApp: 3002 }

/** The options of {@link createDemo}. */
export interface DemoOptions {
  /** Environment variables. Only `HOST`, `PORT`, `POLICY`, `LOG_LEVEL` and `PATH` are used. */
  env: Record<string, string | undefined>
  createLog(level: string): Promise<Logger>
  stop: AbortSignal
  /** Whether the login Action receives the fields of Enterprise plans. */
  enterprise: boolean
  /** Storage delay of a log entry, in milliseconds. Default: random, 0 to 6,000. */
  lagMs?: () => number
  /** Value of `POLL_INTERVAL`. Default: `2s`. */
  pollInterval?: string
  /** Called when each part of the start begins, with a description. */
  onStage?(description: string): void
}

/** A running demo. */
export interface Demo {
  /** URL of the page. */
  pageUrl: string
  /** URL of the API of last-logout. */
  apiUrl: string
  /** URL of the simulated tenant's Management API. */
  tenantUrl: string
  dataDir: string
  /** An API key of last-logout. */
  key: string
  /** The API key of a gateway, for access tokens of {@link audience}. */
  gatewayKey: string
  policy: string
  /** Issuer and audience of the access tokens. */
  issuer: string
  audience: string
  nginx: ApiBehindNginx
  /** An application that the visitor can run. */
  visitorApp: LoginInfo['visitorApp']
  /** The first user who can log in on the page. */
  userId: string
  /** Rejects when the PostgreSQL server of the demo stops before `close` is called. */
  failed: Promise<never>
  close(): Promise<void>
}

/**
 * Runs the whole system with a simulated tenant. Its log begins with an hour of history. Then simulated users log in
 * and out. `close` deletes the database.
 */
export async function createDemo(options: DemoOptions): Promise<Demo> {
  const { env, createLog, stop, enterprise, onStage } = options
  const closers = createClosers()
  try {
    const dataDir = await mkdtemp(join(tmpdir(), 'last-logout-demo-'))
    closers.push(() => rm(dataDir, { recursive: true, force: true }))
    onStage?.('a simulated tenant, with a log of an hour')
    const { tenant, simulator } = await openTenant(options, closers)

    const port = await reserveApiPort(env)
    closers.push(port.release)
    const { page, login, visitorPort } = await openPorts(env, closers)
    const keys = createKeys()
    const issuer = issuerOf(login)
    const places = { ...environmentOf(simulator), DATA_DIR: dataDir, PORT: port.number }
    const config = configureDemo(options, { places, issuer, keys })
    const log = await createLog(config.logLevel)
    onStage?.('an embedded PostgreSQL')
    const service = await createService(config, log, { durable: false })
    closers.push(() => service.close())
    onStage?.('the first catch-up, which reads the log')
    await service.sync(stop)
    onStage?.('the API, the worker, two protected APIs and the page')
    const onLogLine = (line: string) => log.info({ part: 'action' }, line)
    // When the API starts, it fetches the key set from the login server, so the login server starts first.
    const loginInfo = await openLogin({
      tenant,
      login,
      pageUrl: page.url,
      visitorAppUrl: visitorPort.url,
      apiUrl: readApiUrl({ HOST: env.HOST, PORT: port.number }),
      actionKey: keys.action,
      enterprise,
      onLogLine,
    })
    await port.release()
    const apiUrl = await service.startApi()
    await service.startWorker()
    const nginx = await openApiBehindNginx(
      { directories: listDirectories(env), apiUrl, key: keys.gateway, pageOrigin: page.url },
      closers,
    )
    await openApp({ page, login: loginInfo, apiUrl, keys, nginx, enterprise }, closers)
    startTraffic(tenant, closers)
    await visitorPort.release()

    const { failed } = service
    const { policy } = config
    const serviceInfo = { apiUrl, tenantUrl: simulator.url, dataDir, policy, failed }
    const keyInfo = { key: keys.demo, gatewayKey: keys.gateway }
    const appInfo = { ...loginInfo, pageUrl: page.url, audience: AUDIENCE, nginx }
    return { ...serviceInfo, ...keyInfo, ...appInfo, close: closers.close }
  } catch (error) {
    await closers.close()
    throw error
  }
}

async function openTenant({ lagMs }: DemoOptions, closers: Closers) {
  const tenant = createTenant({ domain: DEMO_DOMAIN, ...(lagMs && { lagMs }) })
  tenant.writeStored(
    generateHistory({
      entries: 2_000,
      users: 50,
      domain: DEMO_DOMAIN,
      startMs: Date.now() - HOUR_MS,
      endMs: Date.now(),
    }),
  )
  const simulator = await createSimulator({ tenant })
  closers.push(() => simulator.close())
  return { tenant, simulator }
}

/** Opens the ports of the demo, except that of the API. */
async function openPorts({ PORT }: DemoOptions['env'], closers: Closers) {
  const page = await openServer(preferUnless(PORT, PORTS.page))
  closers.push(page.close)
  const login = await openServer(preferUnless(PORT, PORTS.login))
  closers.push(login.close)
  // Other parts of the demo use free ports, but not this one.
  const visitorPort = await reservePort(preferUnless(PORT, PORTS.visitorApp))
  closers.push(visitorPort.release)
  return { page, login, visitorPort }
}

/** Returns the directories in which the demo searches for nginx. */
function listDirectories({ PATH = '' }: DemoOptions['env']): string[] {
  return [...PATH.split(delimiter).filter((directory) => directory !== ''), ...NGINX_DIRECTORIES]
}

function startTraffic(tenant: Tenant, closers: Closers): void {
  const traffic = createTraffic(tenant)
  closers.push(async () => traffic.close())
  traffic.start(TRAFFIC_INTERVAL_MS)
}

/**
 * Chooses the port of the API. A given `PORT` is used without a reservation. Otherwise reserves the default port, or
 * any free port if the default port is not free or `PORT` is 0, until `release` is called.
 */
async function reserveApiPort({
  HOST,
  PORT,
}: DemoOptions['env']): Promise<{ number: string; release(): Promise<void> }> {
  const unreserved = { number: PORT || `${DEFAULT_PORT}`, release: async () => {} }
  if (PORT && PORT !== '0') return unreserved
  // Here, `PORT` is 0 or not set.
  const preferred = PORT ? 0 : DEFAULT_PORT
  const reserved = await reservePort(preferred, HOST || DEFAULT_HOST).catch(() => null)
  // If no port of this host can be bound, the start of the API fails with the reason.
  if (reserved === null) return unreserved
  return { number: new URL(reserved.url).port, release: reserved.release }
}
