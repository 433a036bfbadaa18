import { setTimeout as sleep } from 'node:timers/promises'
import type { FailureTracker } from '../async/failure-tracker.js'
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
  /** Checks once, then at each interval. Never rejects. */
  start(): Promise<void>
  /** Call this after the signal has aborted. */
  close(): Promise<void>
}

/** Consecutive refusals that concurrent workers can cause. More of them have another cause. */
const MAX_REFUSALS = 3

/** Creates a watchdog that has not started. */
export function createWatchdog(options: WatchdogOptions): Watchdog {
  const { jobs, open, outage, signal, watchIntervalMs, now = Date.now } = options
  let backend: Backend | undefined
  let isRegistered = false
  let wasOverdue = false
  let refusals = 0
  let watching: Promise<void> | undefined

  async function checkSchedule(): Promise<void> {
    backend ??= await open()
    const setUp = isRegistered ? restoreSchedulers : registerSchedulers
    const isOverdue = await setUp(backend.queue, jobs, now())
    if (!isRegistered) options.onRegistered?.()
    isRegistered = true
    const isStuck = isOverdue && wasOverdue
    wasOverdue = isOverdue && !isStuck
    if (isStuck) await discard(backend)
  }

  /** A worker of BullMQ can stop taking jobs permanently, for example when a Redis Cluster loses a node. */
  async function discard(stuck: Backend): Promise<never> {
    backend = undefined
    await stuck.close(true)
    throw new Error('the worker does not take a due job')
  }

  async function tryToCheck(): Promise<void> {
    try {
      await checkSchedule()
      refusals = 0
      outage.recordSuccess()
    } catch (error) {
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
      await backend?.close(outage.isFailing())
    },
  }
}
