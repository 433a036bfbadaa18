import { randomUUID } from 'node:crypto'
import { withAbort } from '../async/abort.js'
import { type Backoff, backOff } from '../async/backoff.js'
import type { LastLogoutStore } from '../ports.js'

/** The time to live of a lease, in milliseconds. A poller that has died delays the others for this time. */
const LEASE_TTL_MS = 30_000

/** The run that holds the lease. */
interface Holder {
  signal: AbortSignal
  /** Resolves when the run no longer holds the lease. */
  ended: Promise<void>
}

/** The exclusive right to poll. */
export interface Lease {
  /**
   * Runs `run` while this process holds the lease. A run that was aborted but does not end no longer holds the lease.
   *
   * @param run Its argument `held` aborts when the lease is lost, for example after the machine slept.
   * @returns `false` if another run holds the lease, in this process or in another one. Then `run` is not called.
   */
  run(signal: AbortSignal, run: (held: AbortSignal) => Promise<void>): Promise<boolean>
  /**
   * Waits with backoff before the next attempt. The wait ends earlier if this process releases the lease: otherwise,
   * if the polls of this process follow each other closely, no attempt might fall between two of them.
   */
  wait(attempt: number, backoff: Backoff, signal: AbortSignal): Promise<void>
}

/**
 * Creates a lease, which lets one poller at a time send requests. Correctness does not depend on the lease, since a page
 * is stored only if its checkpoint has not moved. Create one per process: a process can then continue immediately
 * after a database outage during which it could not release the lease.
 */
export function createLease(store: LastLogoutStore, ttlMs = LEASE_TTL_MS): Lease {
  const owner = randomUUID()
  let holder: Holder | null = null

  async function hold(mine: Holder, run: (held: AbortSignal) => Promise<void>): Promise<void> {
    let renewed: Promise<unknown> = Promise.resolve()
    const renew = async (controller: AbortController) => {
      const isHeld = await store.acquireLease(owner, ttlMs).catch(() => {
        // The run uses the same database, and reports its outage.
      })
      if (isHeld === false) controller.abort()
    }
    let renewal: NodeJS.Timeout | undefined
    try {
      await withAbort(mine.signal, (controller) => {
        renewal = setInterval(() => {
          if (mine.signal.aborted) return clearInterval(renewal)
          renewed = renew(controller)
        }, ttlMs / 3)
        return run(controller.signal)
      })
    } finally {
      clearInterval(renewal)
      // Waits for a renewal that is in flight, which would otherwise take the lease again after its release.
      await renewed
      if (holder === mine) {
        await store.releaseLease(owner).catch(() => {
          // The lease expires by itself. The caller should see the failure of the run.
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
      const mine = { signal, ended }
      holder = mine
      try {
        if (!(await store.acquireLease(owner, ttlMs))) return false
        await hold(mine, run)
        return true
      } finally {
        if (holder === mine) holder = null
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
