import { randomUUID } from 'node:crypto'
import { withAbort } from '../async/abort.js'
import { type Backoff, backOff } from '../async/backoff.js'
import type { LastLogoutStore } from '../ports.js'

/** How long a poller that died keeps the others waiting, in milliseconds. */
const LEASE_MS = 30_000

interface Holder {
  signal: AbortSignal
  /** Resolves when it does not have the lease any more. */
  ended: Promise<void>
}

/** The right to be the one poller. */
export interface Lease {
  /**
   * Runs something while holding it; false, and not run, while another does, be it in this process. A
   * run that was told to stop, and hangs, holds it no longer. One that has lost it, as while its
   * machine slept, is told to stop by `held`.
   */
  run(signal: AbortSignal, run: (held: AbortSignal) => Promise<void>): Promise<boolean>
  /**
   * Waits with backoff before the next attempt to run, and no longer than until this process gives the
   * lease back: its polls can follow each other so closely that no attempt would come between two.
   */
  wait(attempt: number, backoff: Backoff, signal: AbortSignal): Promise<void>
}

/**
 * Keeps the requests to one poller's. Nothing depends on it but their number, since a page is stored
 * only where its checkpoint still stands. One for each process: after an outage of the database, in
 * which it could not be given back, the process that had it goes on at once.
 */
export function createLease(store: LastLogoutStore, leaseMs = LEASE_MS): Lease {
  const owner = randomUUID()
  let holder: Holder | null = null

  async function hold(mine: Holder, run: (held: AbortSignal) => Promise<void>): Promise<void> {
    let renewed: Promise<unknown> = Promise.resolve()
    const renew = async (controller: AbortController) => {
      const isHeld = await store.acquireLease(owner, leaseMs).catch(() => {
        // The run itself meets the same database and says what is wrong with it.
      })
      if (isHeld === false) controller.abort()
    }
    let renewal: NodeJS.Timeout | undefined
    try {
      await withAbort(mine.signal, (controller) => {
        renewal = setInterval(() => {
          if (mine.signal.aborted) return clearInterval(renewal)
          renewed = renew(controller)
        }, leaseMs / 3)
        return run(controller.signal)
      })
    } finally {
      clearInterval(renewal)
      // One that is still under way would take the lease back.
      await renewed
      if (holder === mine) {
        await store.releaseLease(owner).catch(() => {
          // It runs out by itself; the run's own failure is what the caller should see.
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
        if (!(await store.acquireLease(owner, leaseMs))) return false
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
