import { hasCode } from '../errors.js'
import { tokenHorizonMs } from '../rules/gap-state.js'
import type { Instant } from '../rules/instant.js'
import { prefixOf } from '../rules/log-id.js'
import type { Progress } from '../rules/progress.js'
import type { Span } from '../rules/span.js'
import type { SyncDeps } from './catch-up.js'
import { sweep } from './sweep.js'

/** Interval at which new logouts are searched while the catch-up reads old pages, in milliseconds. */
const REPEAT_INTERVAL_MS = 15_000

/** Overlap of two searches, in milliseconds. It is needed because a stored entry can become visible with a delay. */
const OVERLAP_MS = 10_000

/** How far back logouts are searched. */
export interface SearchRange {
  /** The maximum delay between the storage of an entry and its visibility, in milliseconds. */
  reconcileWindowMs: number
  /** The maximum lifetimes of tokens, in milliseconds. Logouts from before {@link tokenHorizonMs} concern no token. */
  maxRefreshAgeMs: number
  maxTokenAgeMs: number
}

/**
 * Searches the logouts of an outage, so that they count before the catch-up reaches them.
 *
 * A catch-up reads the oldest entries first. A search reads the newest logouts first. The first search covers the whole
 * outage. Then, every 15 seconds, a search covers the time since the previous search. After a search has failed, there is
 * no further search, because the catch-up reads all entries anyway.
 *
 * @returns A function to be called before each page. `readTo`: the instant up to which the log had been read before the
 *   outage. `now`: when the page was requested.
 */
export function createOutageSearch(
  deps: SyncDeps,
  progress: Progress,
  options: SearchRange,
  signal: AbortSignal,
): (readTo: Instant, now: Instant) => Promise<void> {
  const prefix = prefixOf(progress.checkpoint ?? '')
  let searchedTo: Instant | null = null
  let hasFailed = false

  async function search(span: Span, beforeRequest: () => Promise<void>): Promise<void> {
    searchedTo = span.to
    const store = deps.store.storeBatch
    await sweep(deps, { stage: 'outage', span, prefix, store, beforeRequest }, signal)
  }

  async function searchNew(now: Instant): Promise<void> {
    if (searchedTo === null || now - searchedTo < REPEAT_INTERVAL_MS) return
    await search({ from: searchedTo - OVERLAP_MS, to: now }, async () => {})
  }

  async function searchOutage(readTo: Instant, now: Instant): Promise<void> {
    // Begins where the next reconcile would begin, because this search counts as a reconcile.
    const since = Math.min(readTo, progress.reconciledTo ?? readTo) - options.reconcileWindowMs
    const span = { from: Math.max(since, now - tokenHorizonMs(options)), to: now }
    deps.onFinding?.({ kind: 'outage', span })
    const startedAt = performance.now()
    await search(span, () => searchNew(now + Math.floor(performance.now() - startedAt)))
    await deps.store.finishReconcile(now)
  }

  return async (readTo, now) => {
    if (hasFailed) return
    try {
      if (searchedTo === null) await searchOutage(readTo, now)
      else await searchNew(now)
    } catch (error) {
      if (hasCode(error, 'ABORTED') || hasCode(error, 'DATABASE_UNAVAILABLE')) throw error
      hasFailed = true
      deps.onFinding?.({ kind: 'search_failed', error })
    }
  }
}
