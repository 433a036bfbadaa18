import { GAP_CHECK_THRESHOLD_MS, readUpTo } from '../rules/gap.js'
import type { Instant } from '../rules/instant.js'
import type { Progress } from '../rules/progress.js'
import type { SyncDeps } from './catch-up.js'
import { type GapOptions, recordGap } from './gaps.js'
import { createOutageSearch, type SearchRange } from './outage-search.js'
import type { ReadPage } from './read-pages.js'

/** The logouts of a shorter outage are not searched, because the catch-up soon reaches them. In milliseconds. */
const MIN_SEARCHED_OUTAGE_MS = 60_000

/**
 * Creates a function that checks for an outage of the worker before each page of a catch-up is stored. If reading has
 * paused, the function checks for a gap. If the page is much older than now, the function searches for the logouts of the
 * outage, because they would otherwise count only when the catch-up reaches them.
 *
 * @param options `polledAt`: when the log was last polled, if this catch-up follows that poll without a pause; otherwise
 *   `null`.
 */
export function createOutageCheck(
  deps: SyncDeps,
  progress: Progress,
  options: SearchRange & GapOptions & { polledAt: Instant | null },
  signal: AbortSignal,
): (page: ReadPage) => Promise<void> {
  const searchOutage = createOutageSearch(deps, progress, options, signal)
  let { polledAt } = options

  return async ({ requestedAt, firstAt, reachedAt }) => {
    const readTo = readUpTo(progress, requestedAt)
    if (readTo === null) return
    // Each page is checked, because the machine can have slept between any two pages.
    if (requestedAt - Math.max(readTo, polledAt ?? readTo) > GAP_CHECK_THRESHOLD_MS) {
      const currentProgress = await deps.store.readProgress()
      await recordGap(deps, { ...options, progress: currentProgress, firstAt }, signal)
    }
    polledAt = requestedAt
    const pageAgeMs = reachedAt === null ? 0 : requestedAt - reachedAt
    if (pageAgeMs > options.reconcileWindowMs + MIN_SEARCHED_OUTAGE_MS) {
      await searchOutage(readTo, requestedAt)
    }
  }
}
