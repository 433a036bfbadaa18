import { setTimeout as sleep } from 'node:timers/promises'
import type { FailureTracker } from '../async/failure-tracker.js'
import type { Backend } from './backend.js'
import { isRefused } from './refused.js'
import type { ScheduledJob } from './scheduled-job.js'
import { registerSchedulers, restoreSchedulers } from './schedulers.js'

/** What a watchdog looks after. */
export interface WatchdogOptions {
  jobs: ScheduledJob[]
  /** Opens the queue and its worker; tried again when it rejects. */
  open(): Promise<Backend>
  /** The queue's. */
  outage: FailureTracker
  /** Ends the watch. */
  signal: AbortSignal
  /** How often the schedule is looked after, in milliseconds. */
  watchIntervalMs: number
  /** Milliseconds since 1970. Default: `Date.now`. */
  now?: () => number
}

/** Keeps a queue with its worker open, and the schedule in it. */
export interface Watchdog {
  /** Looks once, and from then on every few seconds. Never rejects. */
  start(): Promise<void>
  /** To be called after the signal has aborted. */
  close(): Promise<void>
}

/** As often in a row may the store refuse what another worker is at; more often it is something else. */
const MOST_REFUSALS = 3

/** A watchdog that has not started. */
export function createWatchdog(options: WatchdogOptions): Watchdog {
  const { jobs, open, outage, signal, watchIntervalMs, now = Date.now } = options
  let backend: Backend | undefined
  let isRegistered = false
  let wasOverdue = false
  let refusals = 0
  let watching: Promise<void> | undefined

  async function look(): Promise<void> {
    backend ??= await open()
    const setUp = isRegistered ? restoreSchedulers : registerSchedulers
    const isOverdue = await setUp(backend.queue, jobs, now())
    isRegistered = true
    const isStuck = isOverdue && wasOverdue
    wasOverdue = isOverdue && !isStuck
    if (isStuck) await discard(backend)
  }

  /** BullMQ's worker can stop taking jobs for good, as when a Redis Cluster loses a node. */
  async function discard(stuck: Backend): Promise<never> {
    backend = undefined
    await stuck.close(true)
    throw new Error('the worker does not take a job that is due')
  }

  async function tryToLook(): Promise<void> {
    try {
      await look()
      refusals = 0
      outage.recordSuccess()
    } catch (error) {
      refusals = isRefused(error) ? refusals + 1 : 0
      if (refusals === 0 || refusals > MOST_REFUSALS) outage.recordFailure(error)
    }
  }

  async function keepLooking(): Promise<void> {
    while (!signal.aborted) {
      // It rejects when the signal aborts, which ends the loop.
      await sleep(watchIntervalMs, undefined, { signal }).then(tryToLook, () => undefined)
    }
  }

  return {
    async start() {
      await tryToLook()
      watching = keepLooking()
    },
    async close() {
      await watching
      await backend?.close(outage.isFailing())
    },
  }
}
