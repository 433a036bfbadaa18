import { randomUUID } from 'node:crypto'
import { withAbort } from '../async/abort.js'
import { type Backoff, backOff } from '../async/backoff.js'
import type { LastLogoutStore } from '../ports.js'

/** Time to live: how long a poller that died delays the others, in milliseconds. */
const LEASE_TTL_MS = 30_000

interface Holder {
  signal: AbortSignal
  /** Resolves when this run no longer holds the lease. */
  ended: Promise<void>
}

/** Exclusive polling lease. */
export interface Lease {
  /**
   * Runs `run` while this process holds the lease. A run that was aborted and hangs no longer holds it.
   *
   * @param run `held` is aborted when the lease is lost, as after the machine slept.
   * @returns False, without running, while another run holds the lease, in this process or another.
   */
  run(signal: AbortSignal, run: (held: AbortSignal) => Promise<void>): Promise<boolean>
  /**
   * Waits with backoff before the next attempt, but not longer than until this process releases the
   * lease: its polls can follow each other so closely that no attempt would fall between two of them.
   */
  wait(attempt: number, backoff: Backoff, signal: AbortSignal): Promise<void>
}

/**
 * Lets one poller at a time send requests. Correctness does not depend on it, since a page is stored only
 * where its checkpoint still stands. Create one per process: after a database outage, in which it could not
 * release the lease, the same process continues at once.
 */
export function createLease(store: LastLogoutStore, ttlMs = LEASE_TTL_MS): Lease {
  const owner = randomUUID()
  let holder: Holder | null = null

  async function hold(mine: Holder, run: (held: AbortSignal) => Promise<void>): Promise<void> {
    let renewed: Promise<unknown> = Promise.resolve()
    const renew = async (controller: AbortController) => {
      const isHeld = await store.acquireLease(owner, ttlMs).catch(() => {
        // The run uses the same database and reports what is wrong with it.
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
      // A renewal in flight would take the lease again.
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
