import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { createLogSource } from './auth0/log-source.js'
import { createManagementApi } from './auth0/management-api.js'
import { type Closers, createClosers } from './closers.js'
import type { Config } from './config.js'
import { aborted, hasCode, LastLogoutError } from './errors.js'
import { buildApp } from './http/app.js'
import { createJobs } from './jobs/jobs.js'
import { openDatabase, queueConnection } from './open-database.js'
import type { LastLogoutStore, LogSource } from './ports.js'
import type { Instant } from './rules/instant.js'
import { createChangeListener } from './store/change-listener.js'
import { createDatabase } from './store/database.js'
import { guardStore, openOrWait } from './store/guard.js'
import { createLastLogoutStore } from './store/last-logout-store.js'
import { assertMigrated } from './store/migrations.js'
import type { SyncProgress } from './sync/catch-up.js'
import { poll } from './sync/poll.js'
import { readVersion } from './version.js'

/** How long `sync` waits for another poller to finish before it gives up, in milliseconds. */
const LEASE_PATIENCE_MS = 60_000

/** What tests replace, and what a command needs otherwise. */
export interface ServiceOverrides {
  now?: () => Instant
  source?: LogSource
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
    const { now = Date.now, durable = true, joins = false, waits = false } = overrides
    const { url: databaseUrl, gone } = await openDatabase(config, { durable, joins }, closers)
    const storeLog = log.child({ part: 'store' })
    const database = createDatabase(databaseUrl, storeLog)
    closers.push(() => database.close())
    const unguarded = createLastLogoutStore({
      prisma: database.prisma,
      domain: config.auth0.domain,
      gapConcernsMs: config.maxRefreshAgeMs + config.maxTokenAgeMs,
      now,
    })
    const { store, open } = guardStore(unguarded, () => assertMigrated(databaseUrl), storeLog)
    const opened = await openOrWait(open, { waits, log: storeLog })
    const source = overrides.source ?? createSource(config)
    const parts = { config, log, now, store, source, closers, databaseUrl, owner: randomUUID() }
    return {
      store,
      gone,
      opened,
      sync: (signal, onProgress) => sync(parts, signal, onProgress),
      startWorker: () => startWorker(parts),
      startApi: () => startApi(parts),
      close: closers.close,
    }
  } catch (error) {
    await closers.close()
    throw error
  }
}

interface Parts {
  config: Config
  log: Logger
  now: () => Instant
  store: LastLogoutStore
  source: LogSource
  closers: Closers
  databaseUrl: string
  /** Under which this process takes the lease. */
  owner: string
}

function createSource({ auth0 }: Config): LogSource {
  return createLogSource({ api: createManagementApi(auth0), rateShare: auth0.rateShare })
}

async function sync(
  parts: Parts,
  signal: AbortSignal,
  onProgress?: (progress: SyncProgress) => void,
): Promise<void> {
  const giveUpAt = performance.now() + LEASE_PATIENCE_MS
  while ((await pollOnce(parts, signal, onProgress)) === 'lease_held') {
    if (performance.now() > giveUpAt) {
      const message = 'another process is reading the log of this tenant: let it, or stop it'
      throw new LastLogoutError('LEASE_HELD', message)
    }
    await sleep(500, undefined, { signal }).catch((error) => {
      throw aborted(error)
    })
  }
}

function pollOnce(
  { config, source, store, owner }: Parts,
  signal: AbortSignal,
  onProgress?: (progress: SyncProgress) => void,
) {
  const types = new Set(config.eventTypes)
  return poll({ source, store, types, owner, ...(onProgress && { onProgress }) }, config, signal)
}

async function startWorker(parts: Parts): Promise<void> {
  const { config, closers, databaseUrl } = parts
  const log = parts.log.child({ part: 'worker' })
  const jobs = await createJobs({
    connection: queueConnection(config, databaseUrl),
    prefix: config.auth0.domain,
    log,
    jobs: [
      {
        name: 'poll',
        everyMs: config.pollIntervalMs,
        run: (signal) => runPoll(parts, log, signal),
      },
    ],
  })
  closers.push(() => jobs.close())
}

async function runPoll(parts: Parts, log: Logger, signal: AbortSignal): Promise<void> {
  const total = { pages: 0, entries: 0, events: 0 }
  try {
    const outcome = await pollOnce(parts, signal, ({ pages, entries, events }) => {
      total.pages += pages
      total.entries += entries
      total.events += events
    })
    if (total.pages > 0) log.info(total, 'log read')
    else log.debug({ outcome }, 'nothing new')
  } catch (error) {
    // The page at hand is stored; the next worker goes on from there.
    if (!hasCode(error, 'ABORTED')) throw error
  }
}

async function startApi(parts: Parts): Promise<string> {
  const { config, log, now, store, closers, databaseUrl } = parts
  const listenUrl = config.database.directUrl ?? databaseUrl
  const listener = createChangeListener(listenUrl, log.child({ part: 'api' }))
  closers.push(() => listener.close())
  const app = await buildApp({
    readKnown: store.readKnown,
    readProgress: store.readProgress,
    readChanges: store.readChanges,
    storeReported: store.storeReported,
    subscribe: listener.subscribe,
    policy: config.policy,
    maxLagMs: config.maxLagMs,
    apiKeys: config.http.apiKeys,
    // Where it listens is said by whoever started it.
    log: log.child({ part: 'api' }, log.isLevelEnabled('warn') ? { level: 'warn' } : {}),
    version: await readVersion(),
    now,
  })
  closers.push(() => app.close())
  const { host, port } = config.http
  return app.listen({ host, port }).catch((error) => {
    throw new LastLogoutError(
      'CANNOT_LISTEN',
      `cannot listen on port ${port} of ${host} (${error.code}): set PORT or HOST to what is free here`,
      { cause: error },
    )
  })
}
