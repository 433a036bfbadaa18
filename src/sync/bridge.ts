import { GAP_CHECK_THRESHOLD_MS, readUpTo } from '../rules/gap.js'
import type { Instant } from '../rules/instant.js'
import type { Progress } from '../rules/progress.js'
import type { ArrivedPage, SyncDeps } from './catch-up.js'
import { type GapOptions, recordGap } from './gaps.js'
import { createOutageSearch, type SearchRange } from './outage-search.js'

/**
 * Bridges an outage of this service. The returned function runs before each page of a catch-up is stored. After a
 * pause, it checks for a gap. While the pages are far behind, it searches for the logouts of the outage.
 *
 * @param options `polledAt`: when the log was last polled, if this catch-up follows without a pause; else `null`.
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
    // Between any two pages, the machine can have slept.
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
