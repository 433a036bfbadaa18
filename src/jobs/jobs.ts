import { hasCode } from '../errors.js'
import { openBackend, type QueueConnection } from './backend.js'
import { createQueueOutage } from './outage.js'
import { assertQueueMigrated } from './postgres.js'
import { createRunner, type RunnerOptions } from './runner.js'
import { createWatchdog } from './watchdog.js'

export type { QueueConnection } from './backend.js'
export { migrateQueue } from './postgres.js'
export type { ScheduledJob } from './scheduled-job.js'

/** What to run, and where the schedule is kept. */
export interface JobsOptions extends RunnerOptions {
  connection: QueueConnection
  /** Sets this queue apart from others in the same store; workers with the same one share it. */
  prefix: string
  /** Called once, when the jobs are scheduled: at once, or after an outage of the store that holds the schedule. */
  onScheduled?: (() => void) | undefined
  /** How often the schedule is looked after, in milliseconds. Default: 3,000. */
  watchIntervalMs?: number
  /** How long a store may take to be ready, to answer, and to be closed, in milliseconds. Default: 5,000. */
  timeoutMs?: number
}

/** The default limits of {@link JobsOptions}. */
export const JOBS_DEFAULTS = { watchIntervalMs: 3_000, timeoutMs: 5_000 }

/** Jobs that run at their intervals. */
export interface Jobs {
  /**
   * Takes no further job, aborts the signal of the running ones, waits for them, and closes every
   * connection. Calling it again waits for the same.
   */
  close(): Promise<void>
}

/**
 * Runs `jobs` at their intervals, at once where one is new or came due while no worker ran; of several
 * workers, one takes each run. From then on no failure of a job or of the store ends it: while the store
 * is away nothing runs, and when it is back, be it empty, the jobs go on. It may be away from the
 * beginning.
 * Throws `DATABASE_NOT_MIGRATED` when PostgreSQL lacks the queue's tables.
 */
export async function createJobs(options: JobsOptions): Promise<Jobs> {
  const { connection, prefix, jobs, log, onScheduled, watchIntervalMs, timeoutMs } = {
    ...JOBS_DEFAULTS,
    ...options,
  }
  if (connection.kind === 'postgres') {
    await assertQueueMigrated(connection.url, timeoutMs).catch((error) => {
      // What else there is, the watchdog meets as well, and tries again.
      if (hasCode(error, 'DATABASE_NOT_MIGRATED')) throw error
    })
  }
  const stop = new AbortController()
  const runner = createRunner(options, stop.signal)
  const outage = createQueueOutage(connection, log, stop.signal)
  const open = () =>
    openBackend({ connection, prefix, runner, onError: outage.recordFailure, log, timeoutMs })
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
