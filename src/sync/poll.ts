import { randomUUID } from 'node:crypto'
import { catchUp, type SyncDeps } from './catch-up.js'
import { type ColdStartOptions, coldStart } from './cold-start.js'
import { sweep } from './sweep.js'

/** How long a poller that died keeps the others waiting, in milliseconds. */
const LEASE_MS = 30_000

/** What a poll needs. */
export interface PollDeps extends SyncDeps {
  /**
   * Who polls; default: a new one each time. A process that is one and the same goes on at once after
   * an outage, in which its last poll could not give the lease back.
   */
  owner?: string
}

/** What a poll came to: the log was read to its end, or another poller is at it. */
export type PollOutcome = 'caught_up' | 'lease_held'

/**
 * Reads the log to its end, once. At a first start the newest entries come first, then the sweep of
 * what is before; what comes meanwhile is read between its spans.
 */
export async function poll(
  deps: PollDeps,
  options: ColdStartOptions,
  signal: AbortSignal,
): Promise<PollOutcome> {
  return withLease(deps, async () => {
    await coldStart(deps, options, signal)
    await catchUp(deps, signal)
    await sweep(deps, signal, () => catchUp(deps, signal))
  })
}

/**
 * Keeps the requests to one poller's. Nothing depends on it but their number: a page is stored only
 * where its checkpoint still stands.
 */
async function withLease(
  { store, owner = randomUUID() }: PollDeps,
  run: () => Promise<void>,
): Promise<PollOutcome> {
  if (!(await store.acquireLease(owner, LEASE_MS))) return 'lease_held'
  let renewed: Promise<unknown> = Promise.resolve()
  const renewal = setInterval(() => {
    renewed = store.acquireLease(owner, LEASE_MS).catch(() => {
      // The run itself meets the same database and says what is wrong with it.
    })
  }, LEASE_MS / 3)
  try {
    await run()
    return 'caught_up'
  } finally {
    clearInterval(renewal)
    // One that is still under way would take the lease back.
    await renewed
    await store.releaseLease(owner).catch(() => {
      // It runs out by itself; the run's own failure is what the caller should see.
    })
  }
}
