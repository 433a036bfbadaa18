import { setTimeout as sleep } from 'node:timers/promises'
import type { FailureTracker } from '../async/failure-tracker.js'
import { hasCode } from '../errors.js'
import type { Backend } from './backend.js'
import { isQueueConflict } from './queue-errors.js'
import type { ScheduledJob } from './scheduled-job.js'
import { registerSchedulers, restoreSchedulers } from './schedulers.js'

/** Options of a watchdog. */
export interface WatchdogOptions {
  jobs: ScheduledJob[]
  /** Opens the queue and its worker. After a rejection, the watchdog calls `open` again at its next check. */
  open(): Promise<Backend>
  /** Called once, when the schedule has been registered. */
  onRegistered?: (() => void) | undefined
  /** Tracks the outages of the queue. */
  outage: FailureTracker
  /** Aborts when the watchdog is to stop. */
  signal: AbortSignal
  /** Interval between two checks of the schedule, in milliseconds. */
  watchIntervalMs: number
  /** Returns the time in milliseconds since the epoch. Default: `Date.now`. */
  now?: () => number
}

/** Keeps a queue and its worker open, and the schedule complete. */
export interface Watchdog {
  /**
   * Checks the schedule once, then at each interval.
   *
   * @throws `CONFIGURATION` or `DATABASE_NOT_MIGRATED` if the first check fails with this error: a later check cannot
   *   succeed.
   */
  start(): Promise<void>
  /** Waits for the running check, and closes the queue and its worker. Call this after the signal has aborted. */
  close(): Promise<void>
}

/** Maximum number of consecutive conflicts that concurrent workers can cause. More conflicts count as an outage. */
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
    const setUp = isRegistered ? restoreSchedulers : registerSchedulers
    // A refused statement closes the queue. A call to a queue that is closed during the call never settles.
    const isOverdue = await Promise.race([setUp(queue, jobs, now()), refused])
    if (!isRegistered) options.onRegistered?.()
    isRegistered = true
    const isStuck = isOverdue && wasOverdue
    wasOverdue = isOverdue && !isStuck
    if (!isStuck) return
    // A worker of BullMQ can stop taking jobs permanently, for example when a Redis Cluster loses a node.
    await current.discard()
    throw new Error('the worker does not take a due job')
  }

  async function tryToCheck(): Promise<void> {
    try {
      await checkSchedule()
      conflicts = 0
      outage.recordSuccess()
    } catch (error) {
      if (watching === undefined && isPermanent(error)) throw error
      conflicts = isQueueConflict(error) ? conflicts + 1 : 0
      if (conflicts === 0 || conflicts > MAX_CONFLICTS) outage.recordFailure(error)
    }
  }

  async function repeatCheck(): Promise<void> {
    while (!signal.aborted) {
      // The sleep rejects when the signal aborts. The loop then ends without a check.
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

/** Holds the open queue and its worker, and replaces them when the server refuses a statement of the worker. */
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
