import { randomUUID } from 'node:crypto'
import type { LastLogoutStore } from '../ports.js'

/** How long a poller that died keeps the others waiting, in milliseconds. */
const LEASE_MS = 30_000

/**
 * Runs something as the only poller; false, and not run, while another is one. Keeps the requests to
 * one poller's: nothing depends on it but their number, since a page is stored only where its
 * checkpoint still stands.
 */
export async function withLease(
  store: LastLogoutStore,
  run: () => Promise<void>,
): Promise<boolean> {
  const owner = randomUUID()
  if (!(await store.acquireLease(owner, LEASE_MS))) return false
  let renewed: Promise<unknown> = Promise.resolve()
  const renewal = setInterval(() => {
    renewed = store.acquireLease(owner, LEASE_MS).catch(() => {
      // The run itself meets the same database and says what is wrong with it.
    })
  }, LEASE_MS / 3)
  try {
    await run()
    return true
  } finally {
    clearInterval(renewal)
    // One that is still under way would take the lease back.
    await renewed
    await store.releaseLease(owner).catch(() => {
      // It runs out by itself; the run's own failure is what the caller should see.
    })
  }
}
