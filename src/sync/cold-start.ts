import { readLogId } from '../rules/entry.js'
import type { Instant } from '../rules/instant.js'
import { DEFAULT_PREFIX, prefixOf, storageTimeOf, syntheticLogId } from '../rules/log-id.js'
import type { ReachOptions } from './bridge.js'
import type { SyncDeps } from './catch-up.js'
import { type GapOptions, recordGap, SETTLED_MS } from './gaps.js'

/**
 * Fixes where the log is read from, once in a database's life. Paging begins a little before now,
 * at a synthetic id, so that the newest logouts count first; the sweep covers what is before. An
 * empty log has no such place yet: it is read to its end as it is, and asked again at the next poll.
 * What comes into it is read from a little before it was known to be empty, and there is nothing to
 * sweep, unless it was not.
 */
export async function coldStart(
  deps: SyncDeps,
  options: ReachOptions & GapOptions,
  signal: AbortSignal,
): Promise<void> {
  const { source, store } = deps
  const progress = await store.readProgress()
  const { checkpoint, asOf, reconciledTo } = progress
  if (checkpoint !== null) return

  const { entries, ...answer } = await source.readNewest(signal)
  // A place in the future of the database would hide what comes before it.
  const askedAt = Math.min(answer.askedAt, progress.now)
  if (entries.length === 0) {
    // Empty before and empty now: what came in between may have been deleted.
    if (asOf !== null && askedAt - asOf > SETTLED_MS) {
      await recordGap(deps, { ...options, progress, firstAt: null }, signal)
    }
    await store.storeCaughtUp(null, askedAt)
    return
  }
  const logId = readLogId(entries[0]) ?? ''
  // Ids of another prefix would all lie before or all after a position that we make up.
  const prefix = storageTimeOf(logId) === null ? DEFAULT_PREFIX : prefixOf(logId)
  // What was stored into an empty log may have become visible after it was last asked.
  const begin = wholeSecond(Math.min(asOf ?? askedAt, askedAt) - options.reconcileWindowMs)
  const sweep = { from: wholeSecond(askedAt - options.maxRefreshAgeMs), to: begin }
  const wasHidden =
    asOf !== null && reconciledTo === null && (await holdsBefore(begin, deps, signal))
  const isSwept = (asOf === null || wasHidden) && sweep.from < sweep.to
  if (isSwept && wasHidden) {
    const search = { ...options, progress: { ...progress, sweep }, firstAt: null }
    await recordGap(deps, search, signal)
  }
  // What becomes visible from now on is late; the first reconcile may be long in coming.
  if (reconciledTo === null) await store.finishReconcile(askedAt)
  await store.begin(syntheticLogId(begin, prefix), isSwept ? sweep : null)
}

/** Whether a log that was said to be empty was not: scopes that are missing may hide what is in it. */
async function holdsBefore(
  at: Instant,
  { source }: SyncDeps,
  signal: AbortSignal,
): Promise<boolean> {
  const { entries } = await source.readOldest(signal)
  return entries.some((entry) => (storageTimeOf(readLogId(entry) ?? '') ?? at) < at)
}

function wholeSecond(at: number): number {
  return Math.floor(at / 1000) * 1000
}
