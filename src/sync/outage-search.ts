import { hasCode } from '../errors.js'
import { tokenHorizonMs } from '../rules/gap-state.js'
import type { Instant } from '../rules/instant.js'
import { prefixOf } from '../rules/log-id.js'
import type { Progress } from '../rules/progress.js'
import type { Span } from '../rules/span.js'
import type { SyncDeps } from './catch-up.js'
import { sweep } from './sweep.js'

/** How often new logouts are searched while the catch-up is far behind, in milliseconds. */
const REPEAT_INTERVAL_MS = 15_000

/** An entry that was just stored can become visible to a search a little later, in milliseconds. */
const OVERLAP_MS = 10_000

/** How far back logouts are searched. */
export interface SearchRange {
  /** How long after it was stored an entry can become visible, in milliseconds. */
  reconcileWindowMs: number
  /** The longest lives of tokens, in milliseconds: logouts from before `tokenHorizonMs` of them concern no token. */
  maxRefreshAgeMs: number
  maxTokenAgeMs: number
}

/**
 * Searches the logouts of an outage, so that they count before the catch-up reaches them.
 *
 * A catch-up reads the oldest entry first. The search reads the newest logouts first: once over the whole
 * outage, then every 15 seconds over what is new. A search that fails is not repeated, since the catch-up
 * reads everything anyway.
 *
 * @returns Searches; `readTo` is how far the log had been read, `now` the time of the page at hand.
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

  async function search(span: Span, between: () => Promise<void>): Promise<void> {
    searchedTo = span.to
    const store = deps.store.storeBatch
    await sweep(deps, { stage: 'outage', span, prefix, store, between }, signal)
  }

  async function searchNew(now: Instant): Promise<void> {
    if (searchedTo === null || now - searchedTo < REPEAT_INTERVAL_MS) return
    await search({ from: searchedTo - OVERLAP_MS, to: now }, async () => {})
  }

  async function searchOutage(readTo: Instant, now: Instant): Promise<void> {
    // Includes what is still to be reconciled: this search counts as a reconcile.
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
