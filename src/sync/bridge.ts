import { GAP_CHECK_THRESHOLD_MS, readUpTo } from '../rules/gap.js'
import type { Instant } from '../rules/instant.js'
import type { Progress } from '../rules/progress.js'
import type { ArrivedPage, SyncDeps } from './catch-up.js'
import { type GapOptions, recordGap } from './gaps.js'
import { createOutageSearch, type SearchRange } from './outage-search.js'

/**
 * Bridges an outage of this service. Before each page of a catch-up is stored, it checks for a gap after
 * every pause, and searches for the logouts of the outage while the page is far behind.
 *
 * @param options `polledAt`: the last poll, if the pause before the first page is known to be none.
 */
export function createBridge(
  deps: SyncDeps,
  progress: Progress,
  options: SearchRange & GapOptions & { polledAt: Instant | null },
  signal: AbortSignal,
): (page: ArrivedPage) => Promise<void> {
  const searchOutage = createOutageSearch(deps, progress, options, signal)
  let { polledAt } = options

  return async ({ requestedAt, firstAt, reachedAt }) => {
    const readTo = readUpTo(progress, requestedAt)
    if (readTo === null) return
    // The machine can have slept between any two pages.
    if (requestedAt - Math.max(readTo, polledAt ?? readTo) > GAP_CHECK_THRESHOLD_MS) {
      const reached = await deps.store.readProgress()
      await recordGap(deps, { ...options, progress: reached, firstAt }, signal)
    }
    polledAt = requestedAt
    const behindMs = reachedAt === null ? 0 : requestedAt - reachedAt
    if (behindMs > options.reconcileWindowMs + GAP_CHECK_THRESHOLD_MS) {
      await searchOutage(readTo, requestedAt)
    }
  }
}
