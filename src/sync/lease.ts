import { randomUUID } from 'node:crypto'
import { withAbort } from '../async/abort.js'
import { type Backoff, backOff } from '../async/backoff.js'
import type { LastLogoutStore } from '../ports.js'
import type { Progress } from '../rules/progress.js'

/**
 * The time to live of a lease, in milliseconds. If its holder crashes, other processes wait until this time has passed.
 */
const LEASE_TTL_MS = 30_000

/** The run that holds the lease, or is acquiring it. After its abort, another run can replace it before it ends. */
interface Holder {
  signal: AbortSignal
  /** Resolves when the run no longer holds the lease. */
  ended: Promise<void>
}

/**
 * A function that runs under the lease. `leaseSignal` aborts when the lease is lost, for example because the machine
 * was suspended. `progress` was read when the lease was acquired.
 */
type LeasedRun = (leaseSignal: AbortSignal, progress: Progress) => Promise<void>

/** The exclusive right of one process to poll. */
export interface Lease {
  /**
   * Acquires the lease, and calls `run`. Renews the lease until `run` has ended or `signal` aborts.
   *
   * @returns `false` if another run of this process or of another process holds the lease. `run` is then not called.
   */
  run(signal: AbortSignal, run: LeasedRun): Promise<boolean>
  /**
   * Waits with backoff before the next attempt to acquire the lease. The wait ends early when a run of this process
   * releases the lease. Otherwise, each attempt could fail because this process has already started another run.
   */
  wait(attempt: number, backoff: Backoff, signal: AbortSignal): Promise<void>
}

/**
 * Creates a lease that allows one process at a time to poll, which saves requests to Auth0. Correctness does not depend
 * on the lease: a page is stored only if its checkpoint has not moved.
 *
 * All runs of a process should share one lease. If a run cannot release the lease during a database outage, the next
 * run of the process can then acquire the lease at once.
 */
export function createLease(store: LastLogoutStore, ttlMs = LEASE_TTL_MS): Lease {
  const owner = randomUUID()
  let holder: Holder | null = null

  async function runLeased(thisRun: Holder, progress: Progress, run: LeasedRun): Promise<void> {
    let lastRenewal: Promise<unknown> = Promise.resolve()
    const renew = async (controller: AbortController) => {
      // A failed renewal is not reported: during a database outage, the run fails too, and its failure is reported.
      const renewed = await store.acquireLease(owner, ttlMs).catch(() => undefined)
      if (renewed === null) controller.abort()
    }
    let renewalTimer: NodeJS.Timeout | undefined
    try {
      await withAbort(thisRun.signal, (controller) => {
        renewalTimer = setInterval(() => {
          if (thisRun.signal.aborted) return clearInterval(renewalTimer)
          lastRenewal = renew(controller)
        }, ttlMs / 3)
        return run(controller.signal, progress)
      })
    } finally {
      clearInterval(renewalTimer)
      // A renewal that is still in flight would acquire the lease again after the release.
      await lastRenewal
      if (holder === thisRun) {
        await store.releaseLease(owner).catch(() => {
          // The lease expires after `ttlMs`. An error here would hide the error of the run.
        })
      }
    }
  }

  return {
    async run(signal, run) {
      if (holder !== null && !holder.signal.aborted) return false
      let end = () => {}
      const ended = new Promise<void>((resolve) => {
        end = resolve
      })
      const thisRun = { signal, ended }
      holder = thisRun
      try {
        const progress = await store.acquireLease(owner, ttlMs)
        if (progress === null) return false
        await runLeased(thisRun, progress, run)
        return true
      } finally {
        if (holder === thisRun) holder = null
        end()
      }
    },
    wait: (attempt, backoff, signal) =>
      withAbort(signal, async (waiting) => {
        void holder?.ended.then(() => waiting.abort())
        await backOff(attempt, backoff, waiting.signal).catch((error) => {
          if (signal.aborted) throw error
        })
      }),
  }
}
