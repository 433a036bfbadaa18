import type { Logger } from 'pino'
import type { Backoff } from '../async/backoff.js'
import type { Config } from '../config/config.js'
import { abortedError, hasCode, LastLogoutError } from '../errors.js'
import type { ScheduledJob } from '../jobs/jobs.js'
import type { SyncProgress } from '../measurements.js'
import type { Metrics } from '../metrics/metrics.js'
import type { LastLogoutStore, LogSource } from '../ports.js'
import { isReadAgainByCatchUp } from '../sync/catch-up.js'
import type { Lease } from '../sync/lease.js'
import { type PollDeps, type PollOutcome, poll, reconcile } from '../sync/poll.js'
import {
  createProgressGuard,
  type ProgressGuard,
  type ProgressLimits,
} from '../sync/progress-guard.js'
import { withHeartbeat } from '../sync/with-heartbeat.js'
import { logFinding } from './log-finding.js'

/*
 * The jobs of a worker: `poll` reads the log from the checkpoint to its end. `reconcile` polls, and then searches the
 * recent log again for entries that became visible late. `prune` deletes old rows.
 *
 * Only the holder of the lease may read the log, so that several workers do not read it at the same time.
 */

/** How long a reconcile waits until another process releases the lease, in milliseconds. */
const LEASE_WAIT_TIMEOUT_MS = 60_000

/** Backoff between attempts to acquire the lease. */
const LEASE_BACKOFF: Backoff = { firstMs: 250, maxMs: 2_000 }

/** How often `prune` runs, in milliseconds. */
const PRUNE_INTERVAL_MS = 3_600_000

/**
 * Maximum time of a job without a response from Auth0, in milliseconds. A request is retried for 20 s. The last attempt
 * can wait a minute for the rate limit, and another minute for a token and the response.
 */
const STALL_TIMEOUT_MS = 240_000

/** The dependencies of the worker's jobs. */
export interface WorkerDeps {
  config: Config
  log: Logger
  store: LastLogoutStore
  source: LogSource
  lease: Lease
  metrics: Metrics
  /** Maximum time of a job without a response from Auth0, in milliseconds. Default: 240,000. */
  stallTimeoutMs?: number | undefined
  /** Limits of rounds without progress. Default: those of `createProgressGuard`. */
  progressLimits?: Partial<ProgressLimits> | undefined
  /** Backoff between attempts to acquire the lease. Default: 250 ms to 2,000 ms. */
  leaseBackoff?: Backoff | undefined
}

type OnProgress = (progress: SyncProgress) => void

/** Creates the scheduled jobs of a worker. */
export function createWorkerJobs(workerDeps: WorkerDeps): ScheduledJob[] {
  const { config, metrics, stallTimeoutMs = STALL_TIMEOUT_MS } = workerDeps
  const guard = createGuard(workerDeps)
  /** Returns the dependencies, with a source that calls `onResponse` for each response from Auth0. */
  const reportingResponses = (onResponse: () => void): WorkerDeps => ({
    ...workerDeps,
    source: withHeartbeat(workerDeps.source, onResponse),
  })
  return [
    {
      name: 'poll',
      everyMs: config.pollIntervalMs,
      stallMs: stallTimeoutMs,
      run: (signal, reportProgress) =>
        runLogged(reportingResponses(reportProgress), guard, 'poll', (deps) =>
          metrics.timePoll('poll', () => poll(deps, config, signal)),
        ),
    },
    {
      name: 'reconcile',
      everyMs: config.reconcileIntervalMs,
      stallMs: stallTimeoutMs,
      run: (signal, reportProgress) =>
        runLogged(reportingResponses(reportProgress), guard, 'reconcile', (deps) =>
          metrics.timePoll('reconcile', () => reconcileWhenFree(deps, workerDeps, signal)),
        ),
    },
    {
      name: 'prune',
      everyMs: PRUNE_INTERVAL_MS,
      run: (signal, reportProgress) => prune(workerDeps, signal, reportProgress),
    },
  ]
}

/**
 * Runs all jobs once.
 *
 * @throws `LEASE_HELD` if another process does not release the lease in time.
 */
export async function sync(
  workerDeps: WorkerDeps,
  signal: AbortSignal,
  onProgress: OnProgress = () => {},
): Promise<void> {
  const deps = createPollDeps(workerDeps, createGuard(workerDeps), onProgress)
  const run = () => reconcileWhenFree(deps, workerDeps, signal)
  if ((await workerDeps.metrics.timePoll('reconcile', run)) === 'lease_held') {
    const message =
      'another process reads the log of this tenant and holds the lease: wait for it, or stop it'
    throw new LastLogoutError('LEASE_HELD', message)
  }
  await prune(workerDeps, signal)
}

/**
 * Creates the guard that ends loops without progress. The metrics count each round without progress.
 * Only the first of these rounds is logged.
 */
function createGuard({ config, log, metrics, progressLimits: limits }: WorkerDeps): ProgressGuard {
  return createProgressGuard({
    limits,
    onIdleRound(loop, isFirst) {
      metrics.onIdleRound(loop)
      if (isFirst) logFinding({ kind: 'no_progress', loop }, { log, config })
    },
  })
}

function createPollDeps(
  { config, log, source, store, lease, metrics }: WorkerDeps,
  guard: ProgressGuard,
  onProgress: OnProgress,
): PollDeps {
  return {
    source,
    store,
    lease,
    guard,
    types: new Set(config.eventTypes),
    onLogoutPage: metrics.onLogoutPage,
    onFinding: (finding) => logFinding(finding, { log, config }),
    onProgress: (progress) => {
      metrics.onProgress(progress)
      onProgress(progress)
    },
  }
}

/** Runs a reconcile as soon as no other process holds the lease. Returns `lease_held` after a timeout. */
async function reconcileWhenFree(
  deps: PollDeps,
  { config, lease, leaseBackoff = LEASE_BACKOFF }: WorkerDeps,
  signal: AbortSignal,
): Promise<PollOutcome> {
  const giveUpAt = performance.now() + LEASE_WAIT_TIMEOUT_MS
  for (let attempt = 0; ; attempt++) {
    const outcome = await reconcile(deps, config, signal)
    if (outcome === 'caught_up' || performance.now() > giveUpAt) return outcome
    await lease.wait(attempt, leaseBackoff, signal)
  }
}

/** Runs a job, and logs how much of the log it has read. An aborted run does not count as a failure. */
async function runLogged(
  workerDeps: WorkerDeps,
  guard: ProgressGuard,
  job: string,
  run: (deps: PollDeps) => Promise<PollOutcome>,
): Promise<'skipped' | undefined> {
  const total = { pages: 0, entries: 0, events: 0 }
  const onProgress = ({ stage, pages, entries, events }: SyncProgress) => {
    if (isReadAgainByCatchUp(stage)) return
    total.pages += pages
    total.entries += entries
    total.events += events
  }
  try {
    const outcome = await run(createPollDeps(workerDeps, guard, onProgress))
    if (total.entries > 0) workerDeps.log.info({ job, ...total }, 'log read')
    else workerDeps.log.debug({ job, outcome }, 'nothing new')
    return outcome === 'lease_held' ? 'skipped' : undefined
  } catch (error) {
    // The current page has been stored. The next run continues after it.
    if (!hasCode(error, 'ABORTED')) throw error
    return undefined
  }
}

async function prune(
  { config, log, store }: WorkerDeps,
  signal: AbortSignal,
  reportProgress: () => void = () => {},
): Promise<void> {
  const pruned = await store.prune(config.retainMs, () => {
    if (signal.aborted) throw abortedError()
    reportProgress()
  })
  if (pruned.sessions + pruned.unattributable + pruned.forgotten > 0) log.info(pruned, 'pruned')
}
