import { readLogId } from '../rules/entry.js'
import { GAP_CHECK_THRESHOLD_MS } from '../rules/gap.js'
import { tokenHorizonMs } from '../rules/gap-state.js'
import type { Instant } from '../rules/instant.js'
import { DEFAULT_PREFIX, prefixOf, storageTimeOf, syntheticLogId } from '../rules/log-id.js'
import type { SyncDeps } from './catch-up.js'
import { type GapOptions, recordGap } from './gaps.js'
import type { SearchRange } from './outage-search.js'

/**
 * Sets the first checkpoint, and so leaves the state `not_started` or `empty_log` of {@link Progress}.
 *
 * - If the log holds entries at the first start, the checkpoint is a synthetic log id from a little before now, so that
 *   the newest logouts count first. A sweep covers everything before the checkpoint.
 * - If the log is empty, there is no position yet. The log is recorded as read, and the next poll reads it again.
 * - If entries appear in an empty log, pages are read from a little before the last poll. If the log also holds older
 *   entries, Auth0 had hidden them, and a sweep covers them. Otherwise, nothing is swept.
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
  // The checkpoint must not be in the future: entries that are stored before that time would not be read.
  const requestedAt = Math.min(response.requestedAt, progress.now)
  if (entries.length === 0) {
    // The log was empty before, and is empty now. Entries can have been stored and deleted in between.
    if (asOf !== null && requestedAt - asOf > GAP_CHECK_THRESHOLD_MS) {
      await recordGap(deps, { ...options, progress, firstAt: null }, signal)
    }
    await store.storeCaughtUp(null, requestedAt)
    return
  }
  const logId = readLogId(entries[0])
  // A synthetic id needs the tenant's prefix: ids with another prefix would all sort before it, or all after it.
  const prefix = storageTimeOf(logId) === null ? DEFAULT_PREFIX : prefixOf(logId ?? '')
  // Pages begin before the last poll, because an entry can become visible later than it was stored.
  const firstAt = wholeSecond(
    Math.min(asOf ?? requestedAt, requestedAt) - options.reconcileWindowMs,
  )
  const sweep = { from: wholeSecond(requestedAt - tokenHorizonMs(options)), to: firstAt }
  const wasHidden =
    asOf !== null && reconciledTo === null && (await hasEntryBefore(firstAt, deps, signal))
  const isSwept = (asOf === null || wasHidden) && sweep.from < sweep.to
  if (isSwept && wasHidden) {
    const search = { ...options, progress: { ...progress, sweep }, firstAt: null }
    await recordGap(deps, search, signal)
  }
  // The first reconcile must search for entries that become visible from now on, even if it runs much later.
  if (reconciledTo === null) await store.finishReconcile(requestedAt)
  await store.setFirstCheckpoint(syntheticLogId(firstAt, prefix), isSwept ? sweep : null)
}

/**
 * Whether the log holds entries that were stored before `at`. If an earlier response had no entries, Auth0 had hidden
 * these entries. Auth0 hides entries if the token lacks a scope.
 */
async function hasEntryBefore(
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
