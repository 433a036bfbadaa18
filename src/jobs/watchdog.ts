import { setTimeout as sleep } from 'node:timers/promises'
import type { FailureTracker } from '../async/failure-tracker.js'
import { hasCode } from '../errors.js'
import type { Backend } from './backend.js'
import { isQueueConflict } from './queue-errors.js'
import type { ScheduledJob } from './scheduled-job.js'
import { type OtherInterval, registerSchedulers, restoreSchedulers } from './schedulers.js'

/** Options of a watchdog. */
export interface WatchdogOptions {
  jobs: ScheduledJob[]
  /** Opens the queue and its worker. If `open` rejects, the watchdog calls it again at the next check. */
  open(): Promise<Backend>
  /** Called once, when the jobs are in the schedule. */
  onRegistered?: (() => void) | undefined
  /** Called after each check with the jobs whose interval in the schedule was that of another worker. */
  onOtherIntervals?: ((found: OtherInterval[]) => void) | undefined
  outage: FailureTracker
  /** Stops the watchdog. */
  signal: AbortSignal
  /** Interval between two checks of the schedule, in milliseconds. */
  watchIntervalMs: number
  /** Returns the time in milliseconds since the epoch. Default: `Date.now`. */
  now?: () => number
}

/** Keeps a queue and its worker open, and schedules jobs that are missing or overdue. */
export interface Watchdog {
  /**
   * Checks the schedule once, then at each interval. If the first check fails with an error that is not listed here,
   * the later checks retry.
   *
   * @throws `CONFIGURATION` or `DATABASE_NOT_MIGRATED` if the first check fails with this error.
   */
  start(): Promise<void>
  /** Waits for the running check, then closes the queue and its worker. The signal must have aborted before. */
  close(): Promise<void>
}

/**
 * Maximum number of consecutive checks that may fail because of a conflict with another worker. A further conflict
 * counts as an outage.
 */
const MAX_CONFLICTS = 3

/** Creates a watchdog that has not started. */
export function createWatchdog(options: WatchdogOptions): Watchdog {
  const { jobs, open, outage, signal, watchIntervalMs, now = Date.now } = options
  const current = createCurrentBackend(open)
  let isRegistered = false
  let wasOverdue = false
  let conflicts = 0
  let watching: Promise<void> | undefined

  async function checkSchedule(): Promise<void> {
    const { queue, refused, assertWritable } = await current.get()
    // Reads can succeed during an outage. For example, a full Redis refuses only writes.
    if (outage.isFailing()) await assertWritable()
    const updateSchedule = isRegistered ? restoreSchedulers : registerSchedulers
    // If the queue closes during a call, the call never settles. A refused statement closes the queue.
    const check = await Promise.race([updateSchedule(queue, jobs, now()), refused])
    options.onOtherIntervals?.(check.otherIntervals)
    if (!isRegistered) options.onRegistered?.()
    isRegistered = true
    const isStuck = check.wasOverdue && wasOverdue
    // The worker that replaces a stuck one counts as stuck only after two more checks.
    wasOverdue = check.wasOverdue && !isStuck
    if (!isStuck) return
    // A job was overdue at two consecutive checks. A BullMQ worker can stop taking jobs permanently, for example when a
    // Redis Cluster loses a node.
    await current.discard()
    throw new Error('the worker does not take a due job')
  }

  async function tryToCheck(): Promise<void> {
    try {
      await checkSchedule()
      conflicts = 0
      outage.recordSuccess()
    } catch (error) {
      const isFirstCheck = watching === undefined
      if (isFirstCheck && isPermanent(error)) throw error
      conflicts = isQueueConflict(error) ? conflicts + 1 : 0
      if (conflicts === 0 || conflicts > MAX_CONFLICTS) outage.recordFailure(error)
    }
  }

  async function repeatCheck(): Promise<void> {
    while (!signal.aborted) {
      // When the signal aborts, the sleep rejects, and the loop ends without another check.
      await sleep(watchIntervalMs, undefined, { signal }).then(tryToCheck, () => undefined)
    }
  }

  return {
    async start() {
      await tryToCheck()
      watching = repeatCheck()
    },
    async close() {
      await watching
      await current.close(outage.isFailing())
    },
  }
}

/** Holds the open backend. Closes the backend when PostgreSQL refuses a statement of its worker. */
function createCurrentBackend(open: () => Promise<Backend>) {
  let backend: Backend | undefined
  let closing: Promise<void> | undefined

  async function openBackend(): Promise<Backend> {
    const opened = await open()
    opened.refused.catch(() => {
      if (backend === opened) backend = undefined
      closing = opened.close(true)
    })
    return opened
  }

  return {
    /** Returns the open backend, or opens a new one. */
    async get(): Promise<Backend> {
      backend ??= await openBackend()
      return backend
    },
    /** Closes the open backend without waiting for running jobs. The next `get` opens another backend. */
    async discard(): Promise<void> {
      const discarded = backend
      backend = undefined
      await discarded?.close(true)
    },
    async close(force: boolean): Promise<void> {
      await Promise.all([closing, backend?.close(force)])
    },
  }
}

function isPermanent(error: unknown): boolean {
  return hasCode(error, 'CONFIGURATION') || hasCode(error, 'DATABASE_NOT_MIGRATED')
}
