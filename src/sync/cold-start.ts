import { readLogId } from '../rules/entry.js'
import { GAP_CHECK_THRESHOLD_MS } from '../rules/gap.js'
import { tokenHorizonMs } from '../rules/gap-state.js'
import type { Instant } from '../rules/instant.js'
import { DEFAULT_PREFIX, prefixOf, storageTimeOf, syntheticLogId } from '../rules/log-id.js'
import type { SyncDeps } from './catch-up.js'
import { type GapOptions, recordGap } from './gaps.js'
import type { SearchRange } from './outage-search.js'

/**
 * Sets the first checkpoint in the states `not_started` and `empty_log` of {@link Progress}.
 *
 * - First start, and the log has entries: the checkpoint is a synthetic log id shortly before now, so that the newest
 *   logouts count first. A sweep, which searches a span of the log for logouts, covers the time before the checkpoint.
 * - The log is empty: no checkpoint is set. The log counts as read to its end, and the next poll reads the log again.
 * - The log was empty and has entries now: the checkpoint is a synthetic log id shortly before the last poll. If the
 *   log also has older entries, Auth0 had hidden these entries, and a sweep covers them.
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
  // A checkpoint in the future would skip all entries before that time.
  const requestedAt = Math.min(response.requestedAt, progress.now)
  if (entries.length === 0) {
    // The log was empty at the last poll too. Between the polls, Auth0 can have stored and deleted entries.
    if (asOf !== null && requestedAt - asOf > GAP_CHECK_THRESHOLD_MS) {
      await recordGap(deps, { ...options, progress, firstAt: null }, signal)
    }
    await store.storeCaughtUp(null, requestedAt)
    if (asOf === null) deps.onFinding?.({ kind: 'new_tenant', oldestAt: null })
    return
  }
  const logId = readLogId(entries[0])
  // Log ids are compared as strings, so a synthetic log id needs the prefix of the tenant's log ids.
  const prefix = storageTimeOf(logId) === null ? DEFAULT_PREFIX : prefixOf(logId ?? '')
  // The pages begin some time before the last poll, because an entry can become visible after its storage time.
  const firstAt = startOfSecond(
    Math.min(asOf ?? requestedAt, requestedAt) - options.reconcileWindowMs,
  )
  const sweep = { from: startOfSecond(requestedAt - tokenHorizonMs(options)), to: firstAt }
  const wasHidden =
    asOf !== null && reconciledTo === null && (await hasEntryBefore(firstAt, deps, signal))
  const isSwept = (asOf === null || wasHidden) && sweep.from < sweep.to
  if (isSwept && wasHidden) {
    const search = { ...options, progress: { ...progress, sweep }, firstAt: null }
    await recordGap(deps, search, signal)
  }
  // The first reconcile must search all entries that become visible from now on, even if the reconcile runs much later.
  await store.setFirstCheckpoint(
    syntheticLogId(firstAt, prefix),
    isSwept ? sweep : null,
    requestedAt,
  )
}

/**
 * Whether the log has an entry that was stored before `at`. If a poll after `at` found the log empty, Auth0 had hidden
 * this entry, for example because the token lacked a scope.
 */
async function hasEntryBefore(
  at: Instant,
  { source }: SyncDeps,
  signal: AbortSignal,
): Promise<boolean> {
  const { entries } = await source.readOldest(signal)
  return entries.some((entry) => (storageTimeOf(readLogId(entry)) ?? at) < at)
}

/** Rounds down to a second, the precision of synthetic log ids. */
function startOfSecond(at: number): number {
  return Math.floor(at / 1000) * 1000
}
