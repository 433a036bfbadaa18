import {
  findSweepGap,
  GAP_CHECK_THRESHOLD_MS,
  MIN_RETENTION_MS,
  type RetainedLog,
} from '../rules/gap.js'
import type { Instant } from '../rules/instant.js'
import type { Span } from '../rules/span.js'
import type { SyncDeps } from './catch-up.js'
import { type GapOptions, recordGap } from './gaps.js'

/** A check of a part of a sweep, and the oldest entry that Auth0 retained then. */
interface Check extends RetainedLog {
  part: Span
}

/**
 * Creates a function to be called after each part of a sweep is searched, and before it is stored. A sweep begins with
 * the newest part, and Auth0 deletes the oldest entries meanwhile. So the oldest entry is read again when the sweep
 * reaches entries that Auth0 can have deleted, and the gap of the first start is extended to it. No further request is
 * sent when a part contains the oldest entry, because the log has no entries before this part.
 */
export function createSweepGapCheck(
  deps: SyncDeps,
  options: GapOptions,
  signal: AbortSignal,
): (part: Span) => Promise<void> {
  let last: Check | null = null
  /** End of the newest part that was searched after the last check. */
  let uncheckedTo: Instant | null = null

  return async (part) => {
    const progress = await deps.store.readProgress()
    if (progress.state !== 'sweeping' || progress.sweep.to !== part.to) return
    if (last !== null && hasFoundOldest(last, part, progress.now)) return
    const searchedTo = Math.max(uncheckedTo ?? part.to, part.to)
    uncheckedTo = searchedTo
    if (part.from > deletedBefore(progress.now, last)) return
    const { from } = progress.sweep
    const recorded = (await deps.store.readGaps()).find((gap) => gap.from === from) ?? null
    // `asOf` is null during a first start. A sweep that replaces a checkpoint can search a span that was read before.
    if (progress.asOf !== null && recorded === null) return
    const find = (response: RetainedLog) =>
      findSweepGap(progress, response, { searchedTo, recorded })
    const search = { ...options, progress, firstAt: null, find }
    const { oldestAt, requestedAt } = await recordGap(deps, search, signal)
    last = { oldestAt, requestedAt, part }
    uncheckedTo = null
  }
}

/** Whether the last check shows that `part` needs no check. */
function hasFoundOldest(
  { oldestAt, requestedAt, part: lastPart }: Check,
  part: Span,
  now: Instant,
) {
  if (oldestAt === null || oldestAt < lastPart.from) return false
  // If the database does not keep what is written, the next round begins with a part that contains the oldest entry.
  return part.to <= oldestAt || now - requestedAt <= GAP_CHECK_THRESHOLD_MS
}

/** Estimates, from the last response, an instant after which Auth0 has deleted no entry. */
function deletedBefore(now: Instant, last: RetainedLog | null): Instant {
  const deletedTo =
    last === null || last.oldestAt === null
      ? now - MIN_RETENTION_MS
      : last.oldestAt + (now - last.requestedAt)
  return deletedTo + GAP_CHECK_THRESHOLD_MS
}
