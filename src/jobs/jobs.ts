import { createOpener, type QueueConnection } from './backend.js'
import { createQueueOutage } from './outage.js'
import { createRunner, type RunnerOptions } from './runner.js'
import { createWatchdog } from './watchdog.js'

export type { QueueConnection } from './backend.js'
export { migrateQueue } from './queue-tables.js'
export type { ScheduledJob } from './scheduled-job.js'

/** The jobs, and the store of their schedule. */
export interface JobsOptions extends RunnerOptions {
  connection: QueueConnection
  /** Separates this queue from others in the same store. Workers with the same prefix share a queue. */
  prefix: string
  /** Called once, when the jobs are scheduled: at once, or after an outage of the store that holds the schedule. */
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
   * Takes no further job, aborts the signal of the running ones, waits for them, and closes every connection. A
   * second call waits for the first one.
   */
  close(): Promise<void>
}

/**
 * Runs `jobs` at their intervals. A job that is new, or became due while no worker ran, runs at once. Of several
 * workers, one takes each run.
 *
 * No failure of a job or of the store ends this. While the store is unavailable, also at the start, no job runs.
 * When it is available again, the jobs continue, even if the store is empty.
 * Throws `DATABASE_NOT_MIGRATED` when PostgreSQL lacks the queue's tables. Throws `CONFIGURATION` when TLS fails, when
 * Redis is not supported, or when the queue is in PostgreSQL and the database user lacks a privilege, or a connection
 * pooler is in between.
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
