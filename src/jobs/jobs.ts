import type { Logger } from 'pino'
import { createOpener, type QueueConnection } from './backend.js'
import { createQueueOutage } from './outage.js'
import { createRunner, type RunnerOptions } from './runner.js'
import type { OtherInterval } from './schedulers.js'
import { createWatchdog } from './watchdog.js'

export type { QueueConnection } from './backend.js'
export { migrateQueue } from './queue-tables.js'
export type { ScheduledJob } from './scheduled-job.js'

/** Options of {@link createJobs}. */
export interface JobsOptions extends RunnerOptions {
  /** The Redis or PostgreSQL server that stores the schedule. */
  connection: QueueConnection
  /** Workers with the same prefix share a queue. */
  prefix: string
  /**
   * Called once, when the jobs are in the schedule. If the server is unavailable at the start, it is called after the
   * outage.
   */
  onScheduled?: (() => void) | undefined
  /** Interval of the watchdog, in milliseconds. Default: 3,000. */
  watchIntervalMs?: number
  /** Timeout of connecting, of each response, and of closing, in milliseconds. Default: 5,000. */
  timeoutMs?: number
}

/** The defaults of {@link JobsOptions}. */
export const JOBS_DEFAULTS = { watchIntervalMs: 3_000, timeoutMs: 5_000 }

/** Jobs that run at their intervals. */
export interface Jobs {
  /**
   * Aborts the running jobs, waits until they have ended, and closes all connections. Further calls return the same
   * promise.
   */
  close(): Promise<void>
}

/**
 * Runs `jobs` at their intervals. A new job runs at once. A job that became due while no worker ran also runs at once.
 * If several workers share the queue, one of them takes each run.
 *
 * After a failed run, a job runs again at its next interval. While the server of the queue is unavailable, no job runs.
 * After the outage, the jobs run again, even if the server has lost its data. The outage may begin before this call.
 *
 * @throws `DATABASE_NOT_MIGRATED` if PostgreSQL lacks the tables of the queue.
 * @throws `CONFIGURATION` if TLS fails; if Redis is not supported; if the database user lacks a privilege; if the URL
 *   of PostgreSQL leads to a connection pooler.
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
    onOtherIntervals: createIntervalWarning(log),
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

/** Creates a function that logs a warning once for each job that another worker has scheduled at another interval. */
function createIntervalWarning(log: Logger): (found: OtherInterval[]) => void {
  const reported = new Set<string>()
  const advice =
    'give all workers of this database the same intervals: while they differ, the shortest one applies'
  return (found) => {
    for (const each of found) {
      if (!reported.has(each.job)) log.warn({ ...each, advice }, 'interval differs between workers')
      reported.add(each.job)
    }
  }
}
