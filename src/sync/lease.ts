import { randomUUID } from 'node:crypto'
import { withAbort } from '../async/abort.js'
import { type Backoff, backOff } from '../async/backoff.js'
import type { LastLogoutStore } from '../ports.js'
import type { Progress } from '../rules/progress.js'

/** The time to live of a lease, in milliseconds. After a poller has crashed, the others wait for this time. */
const LEASE_TTL_MS = 30_000

/** The run that holds the lease. */
interface Holder {
  signal: AbortSignal
  /** Resolves when the run no longer holds the lease. */
  ended: Promise<void>
}

/**
 * A run that needs the lease. The signal aborts when the lease is lost, for example after the machine slept. `progress`:
 * how far the log had been read when the lease was acquired.
 */
type LeasedRun = (leaseSignal: AbortSignal, progress: Progress) => Promise<void>

/** The exclusive right to poll. */
export interface Lease {
  /**
   * Runs `run` while this process holds the lease. An aborted run loses the lease, even if the run does not end.
   *
   * @returns `false` if another run holds the lease, in this process or in another one. Then `run` is not called.
   */
  run(signal: AbortSignal, run: LeasedRun): Promise<boolean>
  /**
   * Waits with backoff before the next attempt. The wait ends early when another run of this process releases the lease.
   * Without this, each attempt could fall into the next run of this process.
   */
  wait(attempt: number, backoff: Backoff, signal: AbortSignal): Promise<void>
}

/**
 * Creates a lease, which lets one poller at a time send requests. Correctness does not depend on the lease, because a
 * page is stored only if its checkpoint has not moved. Create one lease per process: if a run could not release the lease
 * during a database outage, the next run of the process can then acquire the lease at once.
 */
export function createLease(store: LastLogoutStore, ttlMs = LEASE_TTL_MS): Lease {
  const owner = randomUUID()
  let holder: Holder | null = null

  async function hold(thisRun: Holder, progress: Progress, run: LeasedRun): Promise<void> {
    let lastRenewal: Promise<unknown> = Promise.resolve()
    const renew = async (controller: AbortController) => {
      // An outage of the database also makes the run fail, and the failure of the run is reported.
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
      // Waits for a renewal in flight, which would otherwise acquire the lease again after its release.
      await lastRenewal
      if (holder === thisRun) {
        await store.releaseLease(owner).catch(() => {
          // The lease expires by itself, and the failure of the run matters more than this failure.
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
        await hold(thisRun, progress, run)
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
