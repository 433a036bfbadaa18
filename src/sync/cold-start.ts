import { readLogId } from '../rules/entry.js'
import { GAP_CHECK_THRESHOLD_MS } from '../rules/gap.js'
import type { Instant } from '../rules/instant.js'
import { DEFAULT_PREFIX, prefixOf, storageTimeOf, syntheticLogId } from '../rules/log-id.js'
import type { SyncDeps } from './catch-up.js'
import { type GapOptions, recordGap } from './gaps.js'
import type { SearchRange } from './outage-search.js'

/**
 * Sets the first checkpoint: leaves the states `not_started` and `empty_log` of {@link Progress}.
 *
 * Paging begins a little before now, at a synthetic log id, so that the newest logouts count first. The
 * sweep covers everything before it. An empty log has no position yet: it is recorded as read, and the
 * next poll reads it again. Entries that then appear are read from a little before the last poll. Nothing is
 * swept, unless the log holds entries that are older: then it was not empty, but hidden.
 */
export async function coldStart(
  deps: SyncDeps,
  options: SearchRange & GapOptions,
  signal: AbortSignal,
): Promise<void> {
  const { source, store } = deps
  const progress = await store.readProgress()
  if (progress.state === 'sweeping' || progress.state === 'reading') return

  const { asOf, reconciledTo } = progress
  const { entries, ...response } = await source.readNewest(signal)
  // A position in the database's future would hide what is stored before it.
  const requestedAt = Math.min(response.requestedAt, progress.now)
  if (entries.length === 0) {
    // Empty before and empty now: entries in between can have been deleted.
    if (asOf !== null && requestedAt - asOf > GAP_CHECK_THRESHOLD_MS) {
      await recordGap(deps, { ...options, progress, firstAt: null }, signal)
    }
    await store.storeCaughtUp(null, requestedAt)
    return
  }
  const logId = readLogId(entries[0])
  // Ids with another prefix would all sort before or after a synthetic id.
  const prefix = storageTimeOf(logId) === null ? DEFAULT_PREFIX : prefixOf(logId ?? '')
  // An entry can become visible after the last poll of an empty log.
  const begin = wholeSecond(Math.min(asOf ?? requestedAt, requestedAt) - options.reconcileWindowMs)
  const sweep = { from: wholeSecond(requestedAt - options.maxRefreshAgeMs), to: begin }
  const wasHidden =
    asOf !== null && reconciledTo === null && (await holdsBefore(begin, deps, signal))
  const isSwept = (asOf === null || wasHidden) && sweep.from < sweep.to
  if (isSwept && wasHidden) {
    const search = { ...options, progress: { ...progress, sweep }, firstAt: null }
    await recordGap(deps, search, signal)
  }
  // Entries that become visible from now on are late, and the first reconcile can be far away.
  if (reconciledTo === null) await store.finishReconcile(requestedAt)
  await store.begin(syntheticLogId(begin, prefix), isSwept ? sweep : null)
}

/** Whether the log holds entries stored before `at`: without a scope, Auth0 can present it as empty. */
async function holdsBefore(
  at: Instant,
  { source }: SyncDeps,
  signal: AbortSignal,
): Promise<boolean> {
  const { entries } = await source.readOldest(signal)
  return entries.some((entry) => (storageTimeOf(readLogId(entry)) ?? at) < at)
}

function wholeSecond(at: number): number {
  return Math.floor(at / 1000) * 1000
}
