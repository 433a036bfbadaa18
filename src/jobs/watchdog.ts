import { setTimeout as sleep } from 'node:timers/promises'
import type { FailureTracker } from '../async/failure-tracker.js'
import { hasCode } from '../errors.js'
import type { Backend } from './backend.js'
import { isRefused } from './refused.js'
import type { ScheduledJob } from './scheduled-job.js'
import { registerSchedulers, restoreSchedulers } from './schedulers.js'

/** Options of a watchdog. */
export interface WatchdogOptions {
  jobs: ScheduledJob[]
  /** Opens the queue and its worker. Repeated after a rejection. */
  open(): Promise<Backend>
  /** Called once, when the schedule has been registered. */
  onRegistered?: (() => void) | undefined
  /** Outage of the queue. */
  outage: FailureTracker
  /** Stops the watchdog. */
  signal: AbortSignal
  /** How often the schedule is checked, in milliseconds. */
  watchIntervalMs: number
  /** Milliseconds since 1970. Default: `Date.now`. */
  now?: () => number
}

/** Keeps a queue and its worker open, and the schedule complete. */
export interface Watchdog {
  /**
   * Checks once, then at each interval.
   *
   * @throws An error of the first check that a later one cannot resolve: `CONFIGURATION` or `DATABASE_NOT_MIGRATED`.
   */
  start(): Promise<void>
  /** Call this after the signal has aborted. */
  close(): Promise<void>
}

/** Consecutive refusals that concurrent workers can cause. More of them have another cause. */
const MAX_REFUSALS = 3

/** Creates a watchdog that has not started. */
export function createWatchdog(options: WatchdogOptions): Watchdog {
  const { jobs, open, outage, signal, watchIntervalMs, now = Date.now } = options
  const current = createCurrentBackend(open)
  let isRegistered = false
  let wasOverdue = false
  let refusals = 0
  let watching: Promise<void> | undefined

  async function checkSchedule(): Promise<void> {
    const { queue, rejected } = await current.get()
    const setUp = isRegistered ? restoreSchedulers : registerSchedulers
    // A call of a queue that is closed meanwhile never ends.
    const isOverdue = await Promise.race([setUp(queue, jobs, now()), rejected])
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
      refusals = 0
      outage.recordSuccess()
    } catch (error) {
      if (watching === undefined && isPermanent(error)) throw error
      refusals = isRefused(error) ? refusals + 1 : 0
      if (refusals === 0 || refusals > MAX_REFUSALS) outage.recordFailure(error)
    }
  }

  async function repeatCheck(): Promise<void> {
    while (!signal.aborted) {
      // It rejects when the signal aborts, which ends the loop.
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

/** The open queue and its worker. They are replaced when the server rejects a statement of them. */
function createCurrentBackend(open: () => Promise<Backend>) {
  let backend: Backend | undefined
  let closing: Promise<void> | undefined

  async function openBackend(): Promise<Backend> {
    const opened = await open()
    opened.rejected.catch(() => {
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
    /** Closes it without waiting for running jobs. The next `get` opens another one. */
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
