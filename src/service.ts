import type { Logger } from 'pino'
import { createLogSource, type LogSourceOptions } from './auth0/log-source.js'
import { createManagementApi } from './auth0/management-api.js'
import type { ManagementApiOptions } from './auth0/sdk-client.js'
import { type Closers, createClosers } from './closers.js'
import type { Config } from './config.js'
import { buildApp, buildMonitor, type MonitorDeps } from './http/app.js'
import { listen } from './http/listen.js'
import type { LogStream } from './http/log-stream.js'
import { createJobs } from './jobs/jobs.js'
import { createMetrics, type Metrics } from './metrics/metrics.js'
import { openDatabase, queueConnection } from './open-database.js'
import type { LastLogoutStore, LogSource } from './ports.js'
import type { Instant } from './rules/instant.js'
import { createChangeListener } from './store/change-listener.js'
import { createDatabase } from './store/database.js'
import { fixedClock } from './store/epoch.js'
import { guardStore, openOrWait } from './store/guard.js'
import { createLastLogoutStore } from './store/last-logout-store.js'
import { assertMigrated } from './store/migrations.js'
import type { PoolTimeouts } from './store/pool.js'
import type { SyncProgress } from './sync/catch-up.js'
import { createLease } from './sync/lease.js'
import { receive } from './sync/receive.js'
import { readVersion } from './version.js'
import { createWorkerJobs, type Reader, sync } from './worker.js'

/** How long a request to Auth0 may take, how large its response may be, and how often it is retried. */
export type Auth0Limits = Pick<ManagementApiOptions, 'requestTimeoutMs' | 'maxBodyBytes'> &
  Pick<LogSourceOptions, 'retryLimits'>

/** What tests replace, and what a command needs otherwise. */
export interface ServiceOverrides {
  /** In place of the database's clock; not for leases, nor for when an unattributable entry was received. */
  now?: () => Instant
  source?: LogSource
  /** Limits of requests to Auth0. Default: those of `createManagementApi` and `createLogSource`. */
  auth0Limits?: Auth0Limits
  /** How long the store waits for PostgreSQL. Default: those of `createPool`. */
  poolTimeouts?: PoolTimeouts
  /** How long reading may go without an answer of Auth0's. */
  stallMs?: number
  /** False: an embedded database may lose its data when the machine stops. */
  durable?: boolean
  /** True: beside a service that runs in the same `DATA_DIR`, its database is used; none is made. */
  joins?: boolean
  /** True: a database that is away is no failure; until `opened`, whoever asks is told that it is. */
  waits?: boolean
}

/** The parts of last-logout, wired up. */
export interface Service {
  store: LastLogoutStore
  /** Rejects when the service cannot go on. */
  gone: Promise<never>
  /** Resolves when the database is there, and this tenant's; at once unless the service `waits`. */
  opened(signal: AbortSignal): Promise<void>
  /** Reads the log to its end, once. */
  sync(signal: AbortSignal, onProgress?: (progress: SyncProgress) => void): Promise<void>
  /** Polls on a schedule until `close`. */
  startWorker(): Promise<void>
  /** Serves the API until `close`; returns where. */
  startApi(): Promise<string>
  /** Serves health and metrics of a worker that runs alone, until `close`; returns where. */
  startMonitor(port: number): Promise<string>
  /** Stops the schedule, finishes the page at hand, then closes everything, the last opened first. */
  close(): Promise<void>
}

/** Opens the database, and wires everything else to it. */
export async function createService(
  config: Config,
  log: Logger,
  overrides: ServiceOverrides = {},
): Promise<Service> {
  const closers = createClosers()
  try {
    const { now, durable = true, joins = false, waits = false } = overrides
    const { url: databaseUrl, gone } = await openDatabase(config, { durable, joins }, closers)
    const storeLog = log.child({ part: 'store' })
    const database = createDatabase(databaseUrl, storeLog, overrides.poolTimeouts)
    closers.push(() => database.close())
    const unguarded = createLastLogoutStore({
      prisma: database.prisma,
      domain: config.auth0.domain,
      gapConcernsMs: config.maxRefreshAgeMs + config.maxTokenAgeMs,
      clock: now && fixedClock(now),
    })
    const { store, open } = guardStore(unguarded, () => assertMigrated(databaseUrl), storeLog)
    const opened = await openOrWait(open, { waits, log: storeLog })
    const metrics = createMetrics({ ...store, rateShare: config.auth0.rateShare })
    const source = overrides.source ?? createSource(config, metrics, overrides.auth0Limits)
    const { stallMs } = overrides
    const lease = createLease(store)
    const reader = { config, log, store, source, lease, metrics, stallMs }
    const parts = { ...reader, closers, databaseUrl }
    return {
      store,
      gone,
      opened,
      sync(signal, onProgress) {
        metrics.begin('reading')
        return sync(parts, signal, onProgress)
      },
      startWorker: () => startWorker(parts),
      startApi: () => startApi(parts),
      startMonitor: (port) => startMonitor(parts, port),
      close: closers.close,
    }
  } catch (error) {
    await closers.close()
    throw error
  }
}

interface Parts extends Reader {
  closers: Closers
  databaseUrl: string
}

function createSource(
  { auth0 }: Config,
  { onAuth0Answer }: Metrics,
  limits: Auth0Limits = {},
): LogSource {
  const api = createManagementApi({ ...auth0, ...limits })
  return createLogSource({ api, rateShare: auth0.rateShare, observe: onAuth0Answer, ...limits })
}

async function startWorker(parts: Parts): Promise<void> {
  const { config, closers, databaseUrl, metrics } = parts
  const log = parts.log.child({ part: 'worker' })
  metrics.begin('reading')
  const jobs = await createJobs({
    connection: queueConnection(config, databaseUrl),
    prefix: config.auth0.domain,
    log,
    jobs: createWorkerJobs({ ...parts, log }),
    onFailure: metrics.onJobFailure,
  })
  closers.push(() => jobs.close())
}

function createLogStream({ config, store }: Parts): LogStream | undefined {
  const { logStreamToken: token } = config.http
  const types = new Set(config.eventTypes)
  return token === undefined
    ? undefined
    : { token, receive: (body, signal) => receive({ store, types }, body, signal) }
}

async function startApi(parts: Parts): Promise<string> {
  const { config, store, metrics, closers, databaseUrl } = parts
  const log = parts.log.child({ part: 'api' })
  const listenUrl = config.database.directUrl ?? databaseUrl
  const listener = createChangeListener(listenUrl, log)
  closers.push(() => listener.close())
  const app = await buildApp({
    ...monitorDeps(parts),
    readKnown: store.readKnown,
    readChanges: store.readChanges,
    storeReported: store.storeReported,
    subscribe: listener.subscribe,
    policy: config.policy,
    logStream: createLogStream(parts),
    version: await readVersion(),
  })
  closers.push(() => app.close())
  metrics.begin('answering')
  metrics.watchProcess()
  return listen(app, { ...config.http, variable: 'PORT' })
}

async function startMonitor(parts: Parts, port: number): Promise<string> {
  const app = await buildMonitor(monitorDeps(parts))
  parts.closers.push(() => app.close())
  parts.metrics.watchProcess()
  return listen(app, { host: parts.config.http.host, port, variable: 'WORKER_PORT' })
}

function monitorDeps({ config, log, store, metrics }: Parts): MonitorDeps {
  return {
    readProgress: store.readProgress,
    maxLagMs: config.maxLagMs,
    apiKeys: config.http.apiKeys,
    trustProxy: config.http.trustProxy,
    metrics,
    // Where it listens is said by whoever started it.
    log: log.child({ part: 'api' }, log.isLevelEnabled('warn') ? { level: 'warn' } : {}),
  }
}
