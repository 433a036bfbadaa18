import { randomUUID } from 'node:crypto'
import type { LastLogoutStore } from '../ports.js'

/** How long a poller that died keeps the others waiting, in milliseconds. */
const LEASE_MS = 30_000

/** The right to be the one poller. */
export interface Lease {
  /**
   * Runs something while holding it; false, and not run, while another does, be it in this process. A
   * run that was told to stop, and hangs, holds it no longer.
   */
  run(signal: AbortSignal, run: () => Promise<void>): Promise<boolean>
}

/**
 * Keeps the requests to one poller's. Nothing depends on it but their number, since a page is stored
 * only where its checkpoint still stands. One for each process: after an outage of the database, in
 * which it could not be given back, the process that had it goes on at once.
 */
export function createLease(store: LastLogoutStore): Lease {
  const owner = randomUUID()
  let holder: { signal: AbortSignal } | null = null

  /** Resolves when it is known whether it was renewed. */
  const renew = () =>
    store.acquireLease(owner, LEASE_MS).catch(() => {
      // The run itself meets the same database and says what is wrong with it.
    })

  async function hold(mine: { signal: AbortSignal }, run: () => Promise<void>): Promise<void> {
    let renewed: Promise<unknown> = Promise.resolve()
    const renewal = setInterval(() => {
      if (mine.signal.aborted) return clearInterval(renewal)
      renewed = renew()
    }, LEASE_MS / 3)
    try {
      await run()
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
      const mine = { signal }
      holder = mine
      try {
        if (!(await store.acquireLease(owner, LEASE_MS))) return false
        await hold(mine, run)
        return true
      } finally {
        if (holder === mine) holder = null
      }
    },
  }
}
