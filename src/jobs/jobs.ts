import { createOpener, type QueueConnection } from './backend.js'
import { createQueueOutage } from './outage.js'
import { createRunner, type RunnerOptions } from './runner.js'
import { createWatchdog } from './watchdog.js'

export type { QueueConnection } from './backend.js'
export { migrateQueue } from './queue-tables.js'
export type { ScheduledJob } from './scheduled-job.js'

/** Options of {@link createJobs}: the jobs, and the store of their schedule. */
export interface JobsOptions extends RunnerOptions {
  connection: QueueConnection
  /** Separates this queue from others in the same store. Workers with the same prefix share a queue. */
  prefix: string
  /** Called once, when the jobs have been scheduled. If the store is unavailable at the start, this is after the outage. */
  onScheduled?: (() => void) | undefined
  /** Interval of the watchdog, in milliseconds. Default: 3,000. */
  watchIntervalMs?: number
  /** Timeout of connecting, of each response and of closing, in milliseconds. Default: 5,000. */
  timeoutMs?: number
}

/** The default limits of {@link JobsOptions}. */
export const JOBS_DEFAULTS = { watchIntervalMs: 3_000, timeoutMs: 5_000 }

/** Jobs that run at their intervals. */
export interface Jobs {
  /**
   * Stops taking jobs, aborts the signal of the running jobs, waits for these jobs, and closes every connection. A
   * second call waits for the first call.
   */
  close(): Promise<void>
}

/**
 * Runs `jobs` at their intervals. A job that is new, or became due while no worker ran, runs at once. If there are
 * several workers, each run is taken by one of them.
 *
 * The jobs continue after any failure of a job or of the store. The store can be unavailable at the start, too. While
 * the store is unavailable, no job runs. When the store is available again, the jobs continue, even if it lost its data.
 *
 * @throws `DATABASE_NOT_MIGRATED` when PostgreSQL lacks the queue's tables.
 * @throws `CONFIGURATION` when TLS fails, or Redis is not supported. If the queue is in PostgreSQL, also when the
 *   database user lacks a privilege, or a connection pooler is in between.
 */
export async function createJobs(options: JobsOptions): Promise<Jobs> {
  const { connection, prefix, jobs, log, onScheduled, watchIntervalMs, timeoutMs } = {
    ...JOBS_DEFAULTS,
    ...options,
  }
  const stop = new AbortController()
  const runner = createRunner(options, stop.signal)
  const outage = createQueueOutage(connection, log, stop.signal)
  const open = createOpener({
    connection,
    prefix,
    runner,
    onError: outage.recordFailure,
    onNodeError: outage.recordNodeFailure,
    log,
    timeoutMs,
  })
  const watchdog = createWatchdog({
    jobs,
    open,
    onRegistered: onScheduled,
    outage,
    signal: stop.signal,
    watchIntervalMs,
  })
  await watchdog.start()

  async function close(): Promise<void> {
    stop.abort()
    await Promise.all([watchdog.close(), runner.idle()])
  }
  let closing: Promise<void> | undefined
  return {
    close() {
      closing ??= close()
      return closing
    },
  }
}
