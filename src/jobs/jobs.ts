import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { type Backend, openBackend, type QueueConnection } from './backend.js'
import { createOutage } from './outage.js'
import { assertQueueMigrated } from './postgres.js'
import { createRunner, type ScheduledJob } from './runner.js'
import { registerSchedulers, restoreSchedulers } from './schedulers.js'

export type { QueueConnection } from './backend.js'
export { migrateQueue } from './postgres.js'
export type { ScheduledJob } from './runner.js'

/** What to run, and where the schedule is kept. */
export interface JobsOptions {
  connection: QueueConnection
  /** Sets this queue apart from others in the same store; workers with the same one share it. */
  prefix: string
  jobs: ScheduledJob[]
  log: Logger
}

/** Jobs that run at their intervals. */
export interface Jobs {
  /**
   * Takes no further job, aborts the signal of the running ones, waits for them, and closes every
   * connection. Calling it again waits for the same.
   */
  close(): Promise<void>
}

/** How often the schedule is looked after, and a store that was away tried again. */
const WATCH_INTERVAL_MS = 3_000

/**
 * Runs `jobs` at their intervals, the first time at once; of several workers, one takes each run.
 * From then on no failure of a job or of the store ends it: while the store is away nothing runs,
 * and when it is back, be it empty, the jobs go on. Redis may be away from the beginning.
 * Throws `DATABASE_NOT_MIGRATED` when PostgreSQL lacks the queue's tables.
 */
export async function createJobs({ connection, prefix, jobs, log }: JobsOptions): Promise<Jobs> {
  if (connection.kind === 'postgres') await assertQueueMigrated(connection.url)
  const stop = new AbortController()
  const runner = createRunner(jobs, stop.signal, log)
  const outage = createOutage(log)
  const onError = (error: unknown): void => {
    // Closing breaks connections on purpose.
    if (!stop.signal.aborted) outage.report(error)
  }
  let backend: Backend | undefined
  let lookAfter = registerSchedulers

  async function watch(): Promise<void> {
    try {
      backend ??= await openBackend({ connection, prefix, runner, onError, log })
      await lookAfter(backend.queue, jobs)
      lookAfter = restoreSchedulers
      outage.settle()
    } catch (error) {
      onError(error)
    }
  }

  async function keepWatching(): Promise<void> {
    while (!stop.signal.aborted) {
      // Rejects when aborted, and then it is the loop that ends.
      await sleep(WATCH_INTERVAL_MS, undefined, { signal: stop.signal }).then(
        watch,
        () => undefined,
      )
    }
  }

  await watch()
  const watching = keepWatching()

  async function close(): Promise<void> {
    stop.abort()
    await Promise.all([runner.idle(), watching])
    await backend?.close(outage.isOn())
  }
  let closing: Promise<void> | undefined
  return {
    close() {
      closing ??= close()
      return closing
    },
  }
}
