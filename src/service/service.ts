import type { Logger } from 'pino'
import { type Closers, createClosers } from '../async/closers.js'
import type { Config } from '../config/config.js'
import type { MonitorDeps } from '../http/app.js'
import { listen } from '../http/listen.js'
import type { SyncProgress } from '../measurements.js'
import { createMetrics, type Metrics } from '../metrics/metrics.js'
import type { LastLogoutStore, LogSource } from '../ports.js'
import { createChangeListener } from '../store/change-listener.js'
import { createLease } from '../sync/lease.js'
import { readVersion } from '../version.js'
import type { Auth0Limits } from './create-log-source.js'
import { createLogStream } from './create-log-stream.js'
import { createTokenDeps } from './create-token-deps.js'
import { queueConnection, queueName } from './open-database.js'
import { type OpenStore, openStore, type StoreOptions, type StoreOverrides } from './open-store.js'
import { createWorkerJobs, sync, type WorkerDeps } from './worker-jobs.js'

/** Options for opening a service. */
export interface ServiceOptions extends StoreOptions {
  overrides?: ServiceOverrides
}

/** The parts of a service that tests replace. */
export interface ServiceOverrides extends StoreOverrides {
  source?: LogSource
  /** Default: the limits of `createManagementApi` and `createLogSource`. */
  auth0Limits?: Auth0Limits
  /** Maximum time of a job without a response from Auth0, in milliseconds. Default: that of `createWorkerJobs`. */
  stallTimeoutMs?: number
}

/** The running service. */
export interface Service {
  store: LastLogoutStore
  /** Rejects when the service cannot continue. */
  failed: Promise<never>
  /** Resolves when the database is available and usable. If `waitForDatabase` is false, resolves at once. */
  waitUntilOpen(signal: AbortSignal): Promise<void>
  /** Runs all jobs once: reads the log to its end, searches it for late entries, and deletes old rows. */
  sync(signal: AbortSignal, onProgress?: (progress: SyncProgress) => void): Promise<void>
  /**
   * Loads the modules that `startWorker` needs, and those with which the console reads the schedule. A process that waits
   * for its database calls this first: an upgrade can remove the files of this version in the meantime.
   */
  loadWorker(): Promise<void>
  /**
   * Runs the scheduled jobs until `close`.
   *
   * @param onScheduled Called once, when the jobs are scheduled. While the queue is unavailable, no job is scheduled.
   */
  startWorker(onScheduled?: () => void): Promise<void>
  /** Serves the API until `close`. Returns its URL. */
  startApi(): Promise<string>
  /** Serves only health and metrics until `close`, for a worker without an API. Returns the URL. */
  startMonitor(port: number): Promise<string>
  /** Shuts down gracefully: stops the schedule, stores the current page, and closes all parts in reverse order. */
  close(): Promise<void>
}

/**
 * Creates the service. Modules that only one part needs, such as BullMQ, are loaded when that part starts. They are not
 * loaded later, because an upgrade can remove the files of this version while the process runs. The only exception: an
 * API without a worker loads BullMQ with the first use of the console.
 */
export async function createService(
  config: Config<'database'>,
  log: Logger,
  options: ServiceOptions = {},
): Promise<Service> {
  const closers = createClosers()
  const opened = await openStore(config, log, options)
  const { store, failed, waitUntilOpen } = opened
  closers.push(opened.close)
  const metrics = createMetrics({ ...store, rateShare: config.auth0.rateShare })
  const parts: Parts = { ...opened, config, log, metrics, closers }
  // All jobs share one set of dependencies, because the log source keeps the state of the rate limit.
  let workerDeps: Promise<WorkerDeps> | undefined
  const getWorkerDeps = () => {
    workerDeps ??= createWorkerDeps(parts, options.overrides)
    return workerDeps
  }
  return {
    store,
    failed,
    waitUntilOpen,
    async sync(signal, onProgress) {
      metrics.expose('sync')
      await sync(await getWorkerDeps(), signal, onProgress)
    },
    async loadWorker() {
      const { loadScheduleReader } = await loadConsoleState()
      await Promise.all([loadJobs(), getWorkerDeps(), loadScheduleReader()])
    },
    async startWorker(onScheduled) {
      metrics.expose('sync')
      await startWorker(parts, await getWorkerDeps(), onScheduled)
    },
    startApi: () => startApi(parts),
    startMonitor: (port) => startMonitor(parts, port),
    close: closers.close,
  }
}

/** The dependencies of the worker, the API and the monitor. */
interface Parts extends Pick<OpenStore, 'store' | 'databaseUrl' | 'getDatabaseId'> {
  config: Config<'database'>
  log: Logger
  metrics: Metrics
  closers: Closers
}

async function createWorkerDeps(
  parts: Parts,
  overrides: ServiceOverrides = {},
): Promise<WorkerDeps> {
  const { config, log, store, metrics } = parts
  const { createConfiguredLogSource } = await import('./create-log-source.js')
  const { source = createConfiguredLogSource(parts, overrides.auth0Limits), stallTimeoutMs } =
    overrides
  return { config, log, store, source, lease: createLease(store), metrics, stallTimeoutMs }
}

/**
 * Loads BullMQ and the jobs, which only the worker needs. Later calls need no file. An `import` in another module would:
 * Node.js resolves the path of a module once for each importing module.
 */
const loadJobs = () => import('../jobs/jobs.js')
/** Loads the reader of the data that the console shows. */
const loadConsoleState = () => import('./console-state.js')

async function startWorker(
  parts: Parts,
  workerDeps: WorkerDeps,
  onScheduled: (() => void) | undefined,
): Promise<void> {
  const { createJobs } = await loadJobs()
  const { config, closers, databaseUrl, metrics } = parts
  const log = parts.log.child({ part: 'worker' })
  const jobs = await createJobs({
    connection: queueConnection(config, databaseUrl),
    prefix: queueName(config, parts),
    log,
    jobs: createWorkerJobs({ ...workerDeps, log }),
    onFailure: metrics.onJobFailure,
    onScheduled,
  })
  closers.push(() => jobs.close())
}

async function startApi(parts: Parts): Promise<string> {
  const { buildApp } = await import('../http/app.js')
  const { createConsoleStateReader } = await loadConsoleState()
  const { config, store, metrics, closers, databaseUrl } = parts
  const log = parts.log.child({ part: 'api' })
  const listenUrl = config.database.directUrl ?? databaseUrl
  const listener = createChangeListener(listenUrl, log)
  closers.push(() => listener.close())
  const consoleState = createConsoleStateReader(parts)
  closers.push(async () => consoleState.close())
  const app = await buildApp({
    ...(await createMonitorDeps(parts)),
    readConsoleState: consoleState.read,
    readKnownLogouts: store.readKnownLogouts,
    readChanges: store.readChanges,
    storeReported: store.storeReported,
    subscribe: listener.subscribe,
    policy: config.policy,
    logStream: createLogStream(parts),
    ...(await createTokenDeps(parts)),
    version: await readVersion(),
  })
  closers.push(() => app.close())
  metrics.expose('api')
  metrics.exposeProcess()
  return listen(app, { ...config.http, variable: 'PORT' })
}

async function startMonitor(parts: Parts, port: number): Promise<string> {
  const { buildMonitor } = await import('../http/app.js')
  const app = await buildMonitor(await createMonitorDeps(parts))
  parts.closers.push(() => app.close())
  parts.metrics.exposeProcess()
  return listen(app, { host: parts.config.http.host, port, variable: 'WORKER_PORT' })
}

async function createMonitorDeps({ config, log, store, metrics }: Parts): Promise<MonitorDeps> {
  const { chooseMaxConnections } = await import('../http/connection-limit.js')
  return {
    maxConnections: await chooseMaxConnections(log),
    readProgress: store.readProgress,
    maxLagMs: config.maxLagMs,
    apiKeys: config.http.apiKeys,
    trustProxy: config.http.trustProxy,
    metrics,
    // At the level `info`, Fastify would log the URL of the server. The command has already logged this URL.
    log: log.child({ part: 'api' }, log.isLevelEnabled('warn') ? { level: 'warn' } : {}),
  }
}
