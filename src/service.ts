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
import { type Instant, toDateTime } from './rules/instant.js'
import { createChangeListener } from './store/change-listener.js'
import { createDatabase } from './store/database.js'
import { createLastLogoutStore } from './store/last-logout-store.js'
import type { Finding, SyncDeps, SyncProgress } from './sync/catch-up.js'
import { type PollOutcome, poll, reconcile } from './sync/poll.js'
import { readVersion } from './version.js'

/** How long reconciling waits for another poller to finish before it gives up, in milliseconds. */
const LEASE_PATIENCE_MS = 60_000

/** How often it is asked whether the other one has, in milliseconds. */
const LEASE_RETRY_MS = 500

/** How often what is older than `RETAIN_DAYS` is deleted, in milliseconds. */
const PRUNE_INTERVAL_MS = 3_600_000

/** What tests replace, and what a command needs otherwise. */
export interface ServiceOverrides {
  now?: () => Instant
  source?: LogSource
  /** False: an embedded database may lose its data when the machine stops. */
  durable?: boolean
  /** True: beside a service that runs in the same `DATA_DIR`, its database is used; none is made. */
  joins?: boolean
}

/** The parts of last-logout, wired up. */
export interface Service {
  store: LastLogoutStore
  /** Rejects when the service cannot go on. */
  gone: Promise<never>
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
    const { now = Date.now, durable = true, joins = false } = overrides
    const { url: databaseUrl, gone } = await openDatabase(config, { durable, joins }, closers)
    const database = createDatabase(databaseUrl, log.child({ part: 'store' }))
    closers.push(() => database.close())
    const store = createLastLogoutStore({
      prisma: database.prisma,
      domain: config.auth0.domain,
      gapConcernsMs: config.maxRefreshAgeMs + config.maxTokenAgeMs,
      now,
    })
    await store.claim()
    const source = overrides.source ?? createSource(config)
    const parts = { config, log, now, store, source, closers, databaseUrl }
    return {
      store,
      gone,
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
}

function createSource({ auth0 }: Config): LogSource {
  return createLogSource({ api: createManagementApi(auth0), rateShare: auth0.rateShare })
}

async function sync(
  parts: Parts,
  signal: AbortSignal,
  onProgress?: (progress: SyncProgress) => void,
): Promise<void> {
  const deps = { ...syncDeps(parts, parts.log), ...(onProgress && { onProgress }) }
  if ((await reconcileWhenFree(parts, deps, signal)) === 'lease_held') {
    const message = 'another process is reading the log of this tenant: let it, or stop it'
    throw new LastLogoutError('LEASE_HELD', message)
  }
  await prune(parts, parts.log)
}

async function prune({ config, store, now }: Parts, log: Logger): Promise<void> {
  const pruned = await store.prune(now() - config.retainMs)
  if (pruned.sessions + pruned.unattributable > 0) log.info(pruned, 'pruned')
}

function syncDeps({ config, source, store }: Parts, log: Logger): SyncDeps {
  const types = new Set(config.eventTypes)
  return { source, store, types, onFinding: (finding) => logFinding(finding, log) }
}

/** Waits for another poller, for a while. */
async function reconcileWhenFree(
  { config }: Parts,
  deps: SyncDeps,
  signal: AbortSignal,
): Promise<PollOutcome> {
  const giveUpAt = performance.now() + LEASE_PATIENCE_MS
  for (;;) {
    const outcome = await reconcile(deps, config, signal)
    if (outcome === 'caught_up' || performance.now() > giveUpAt) return outcome
    await sleep(LEASE_RETRY_MS, undefined, { signal }).catch((error) => {
      throw aborted(error)
    })
  }
}

async function startWorker(parts: Parts): Promise<void> {
  const { config, closers, databaseUrl } = parts
  const log = parts.log.child({ part: 'worker' })
  const deps = syncDeps(parts, log)
  const jobs = await createJobs({
    connection: queueConnection(config, databaseUrl),
    prefix: config.auth0.domain,
    log,
    jobs: [
      {
        name: 'poll',
        everyMs: config.pollIntervalMs,
        run: (signal) => runLogged(deps, log, (counted) => poll(counted, config, signal)),
      },
      {
        name: 'reconcile',
        everyMs: config.reconcileIntervalMs,
        run: (signal) =>
          runLogged(deps, log, (counted) => reconcileWhenFree(parts, counted, signal)),
      },
      { name: 'prune', everyMs: PRUNE_INTERVAL_MS, run: () => prune(parts, log) },
    ],
  })
  closers.push(() => jobs.close())
}

/** Says what a run has read; stopped in the middle, it has not failed. */
async function runLogged(
  deps: SyncDeps,
  log: Logger,
  run: (deps: SyncDeps) => Promise<PollOutcome>,
): Promise<void> {
  const total = { pages: 0, entries: 0, events: 0 }
  const onProgress = ({ stage, pages, entries, events }: SyncProgress) => {
    // What is read twice is told once.
    if (stage === 'outage' || stage === 'reconcile') return
    total.pages += pages
    total.entries += entries
    total.events += events
  }
  try {
    const outcome = await run({ ...deps, onProgress })
    if (total.entries > 0) log.info(total, 'log read')
    else log.debug({ outcome }, 'nothing new')
  } catch (error) {
    // The page at hand is stored; the next worker goes on from there.
    if (!hasCode(error, 'ABORTED')) throw error
  }
}

function logFinding(finding: Finding, log: Logger): void {
  switch (finding.kind) {
    case 'gap': {
      const { from, to, reason } = finding.gap
      const gap = { from: toDateTime(from), to: toDateTime(to), reason }
      const next = finding.raisesFloor
        ? 'tokens from before its end are refused from now on'
        : 'to be safe from them, refuse the tokens from before its end: last-logout floor raise'
      log.warn(
        gap,
        `a gap: Auth0 does not hold this part of the log any more, and its logouts are not known; ${next}`,
      )
      break
    }
    case 'outage': {
      const { from, to } = finding.span
      const span = { from: toDateTime(from), to: toDateTime(to) }
      log.info(span, 'nothing was read for a while: searching for logouts first')
      break
    }
    case 'checkpoint_replaced':
      log.warn(
        { from: finding.from, to: finding.to },
        'auth0 refused the checkpoint: reading on from another',
      )
      break
    default:
      finding satisfies never
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
