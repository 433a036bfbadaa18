import { GAP_CHECK_THRESHOLD_MS, readUpTo } from '../rules/gap.js'
import type { Instant } from '../rules/instant.js'
import type { Progress } from '../rules/progress.js'
import type { SyncDeps } from './catch-up.js'
import { type GapOptions, recordGap } from './gaps.js'
import { createOutageSearch, type SearchRange } from './outage-search.js'
import type { ReadPage } from './read-pages.js'

/** Minimum duration of an outage whose logouts are searched, in milliseconds. A shorter outage is soon caught up. */
const MIN_SEARCHED_OUTAGE_MS = 60_000

/**
 * Creates a function to be called before each page of a catch-up is stored. The function detects an outage of the
 * worker:
 *
 * - At the first start, or if the log was not read for some time, it checks for a gap.
 * - If the page is much older than now, it searches the logouts of the outage. Without the search, these logouts count
 *   only when the catch-up reaches them.
 *
 * @param options `polledAt`: when the log was last polled; `null` if the worker may not have run since then.
 */
export function createOutageCheck(
  deps: SyncDeps,
  progress: Progress,
  options: SearchRange & GapOptions & { polledAt: Instant | null },
  signal: AbortSignal,
): (page: ReadPage) => Promise<void> {
  const searchOutage = createOutageSearch(deps, progress, options, signal)
  let { polledAt } = options
  let isFirstStart = progress.state === 'sweeping' && progress.lastPollAt === null

  return async ({ requestedAt, firstAt, reachedAt }) => {
    const readTo = readUpTo(progress, requestedAt)
    if (readTo === null) return
    // The machine can be suspended between any two pages, so each page is checked.
    const unreadMs = requestedAt - Math.max(readTo, polledAt ?? readTo)
    if (isFirstStart || unreadMs > GAP_CHECK_THRESHOLD_MS) {
      const currentProgress = await deps.store.readProgress()
      await recordGap(deps, { ...options, progress: currentProgress, firstAt }, signal)
    }
    isFirstStart = false
    polledAt = requestedAt
    const pageAgeMs = reachedAt === null ? 0 : requestedAt - reachedAt
    if (pageAgeMs > options.reconcileWindowMs + MIN_SEARCHED_OUTAGE_MS) {
      await searchOutage(readTo, requestedAt)
    }
  }
}
