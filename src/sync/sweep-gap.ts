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
  let retained: RetainedLog | null = null
  /** End of the newest part that was searched after the last check. */
  let uncheckedTo: Instant | null = null
  let hasFoundOldest = false

  return async (part) => {
    const progress = await deps.store.readProgress()
    if (hasFoundOldest || progress.state !== 'sweeping' || progress.sweep.to !== part.to) return
    uncheckedTo ??= part.to
    if (part.from > deletedBefore(progress.now, retained)) return
    const searchedTo = uncheckedTo
    const { from } = progress.sweep
    const recorded = (await deps.store.readGaps()).find((gap) => gap.from === from) ?? null
    // `asOf` is null during a first start. A sweep that replaces a checkpoint can search a span that was read before.
    if (progress.asOf !== null && recorded === null) return
    const find = (response: RetainedLog) =>
      findSweepGap(progress, response, { searchedTo, recorded })
    retained = await recordGap(deps, { ...options, progress, firstAt: null, find }, signal)
    hasFoundOldest = retained.oldestAt !== null && retained.oldestAt >= part.from
    uncheckedTo = null
  }
}

/** Estimates, from the last response, an instant after which Auth0 has deleted no entry. */
function deletedBefore(now: Instant, retained: RetainedLog | null): Instant {
  const deletedTo =
    retained === null || retained.oldestAt === null
      ? now - MIN_RETENTION_MS
      : retained.oldestAt + (now - retained.requestedAt)
  return deletedTo + GAP_CHECK_THRESHOLD_MS
}
