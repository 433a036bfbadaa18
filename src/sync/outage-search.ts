import { hasCode } from '../errors.js'
import { tokenHorizonMs } from '../rules/gap-state.js'
import type { Instant } from '../rules/instant.js'
import { prefixOf } from '../rules/log-id.js'
import type { Progress } from '../rules/progress.js'
import type { Span } from '../rules/span.js'
import type { SyncDeps } from './catch-up.js'
import { sweep } from './sweep.js'

/** Interval of the searches for new logouts while the catch-up reads old pages, in milliseconds. */
const REPEAT_INTERVAL_MS = 15_000

/** Overlap of two searches, in milliseconds: a stored entry becomes visible with a delay. */
const OVERLAP_MS = 10_000

/** Options that limit how far back logouts are searched. */
export interface SearchRange {
  /** Maximum time from the storage of an entry until it becomes visible, in milliseconds. */
  reconcileWindowMs: number
  /** Maximum lifetime of a refresh token, in milliseconds. */
  maxRefreshAgeMs: number
  /** Maximum lifetime of an access token, in milliseconds. */
  maxTokenAgeMs: number
}

/**
 * Creates a search for the logouts that were stored during an outage of the worker. A catch-up reads the oldest entries
 * first. The search reads the newest logouts first, so that they revoke tokens before the catch-up reaches them.
 *
 * The first search covers the whole outage. Then, every 15 seconds, a search covers the time since the previous search.
 * After a failed search, there is no further search, because the catch-up reads all entries anyway.
 *
 * @returns A function to be called before each page. `readTo` is the instant up to which the log had been read before
 *   the outage. `now` is the time at which the page was requested. The result is the instant up to
 *   which the logouts were found; `null` if a search has failed.
 */
export function createOutageSearch(
  deps: SyncDeps,
  progress: Progress,
  options: SearchRange,
  signal: AbortSignal,
): (readTo: Instant, now: Instant) => Promise<Instant | null> {
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
    // This search counts as a reconcile, so it begins where the next reconcile would begin.
    const since = Math.min(readTo, progress.reconciledTo ?? readTo) - options.reconcileWindowMs
    const span = { from: Math.max(since, now - tokenHorizonMs(options)), to: now }
    deps.onFinding?.({ kind: 'outage', span })
    const startedAt = performance.now()
    await search(span, () => searchNew(now + Math.floor(performance.now() - startedAt)))
    await deps.store.finishReconcile(now)
  }

  return async (readTo, now) => {
    if (hasFailed) return null
    try {
      if (searchedTo === null) await searchOutage(readTo, now)
      else await searchNew(now)
    } catch (error) {
      if (hasCode(error, 'ABORTED') || hasCode(error, 'DATABASE_UNAVAILABLE')) throw error
      hasFailed = true
      deps.onFinding?.({ kind: 'search_failed', error })
    }
    return hasFailed ? null : searchedTo
  }
}
