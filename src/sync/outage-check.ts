import { GAP_CHECK_THRESHOLD_MS, readUpTo } from '../rules/gap.js'
import type { Instant } from '../rules/instant.js'
import type { Progress } from '../rules/progress.js'
import type { SyncDeps } from './catch-up.js'
import { type GapOptions, recordGap } from './gaps.js'
import { createOutageSearch, type SearchRange } from './outage-search.js'
import { createOvertakenCheck } from './overtaken-check.js'
import type { ReadPage } from './read-pages.js'

/** Minimum duration of an outage whose logouts are searched, in milliseconds. A shorter outage is soon caught up. */
const MIN_SEARCHED_OUTAGE_MS = 60_000

/**
 * Creates a function to be called before each page of a catch-up is stored. The function detects an outage of the
 * worker:
 *
 * - At the first start, or if the log was not read for some time, it checks for a gap.
 * - If the catch-up is slow, it checks whether Auth0 deletes entries before they are read.
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
  const overtaken = createOvertakenCheck(deps, progress, options, signal)
  const searchOutage = createOutageSearch(deps, progress, options, signal)
  let { polledAt } = options
  let isFirstStart = progress.state === 'sweeping' && progress.lastPollAt === null

  return async (page) => {
    const { requestedAt, firstAt, reachedAt } = page
    const readTo = readUpTo(progress, requestedAt)
    if (readTo === null) return
    // The machine can be suspended between any two pages, so each page is checked.
    const unreadMs = requestedAt - Math.max(readTo, polledAt ?? readTo)
    if (isFirstStart || unreadMs > GAP_CHECK_THRESHOLD_MS) {
      const currentProgress = await deps.store.readProgress()
      const search = { ...options, progress: currentProgress, firstAt }
      const { oldestAt } = await recordGap(deps, search, signal)
      overtaken.continueFrom(oldestAt, page)
    } else {
      await overtaken.check(page)
    }
    isFirstStart = false
    polledAt = requestedAt
    const pageAgeMs = reachedAt === null ? 0 : requestedAt - reachedAt
    if (pageAgeMs > options.reconcileWindowMs + MIN_SEARCHED_OUTAGE_MS) {
      const searchedTo = await searchOutage(readTo, requestedAt)
      if (searchedTo !== null) overtaken.markSearched(searchedTo)
    }
  }
}
