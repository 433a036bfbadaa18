import { readLogId } from '../rules/entry.js'
import { DEFAULT_PREFIX, prefixOf, storageTimeOf, syntheticLogId } from '../rules/log-id.js'
import type { SyncDeps } from './catch-up.js'

/** How far back a first start looks. */
export interface ColdStartOptions {
  /** Paging begins this long before now; what is before is swept. */
  reconcileWindowMs: number
  /** No refresh token lives longer: a logout from before concerns nobody. */
  maxRefreshAgeMs: number
}

/**
 * Fixes where the log is read from, once in a database's life. Paging begins a little before now,
 * at a synthetic id, so that the newest logouts count first; the sweep covers what is before. An
 * empty log has no such place yet: it is read to its end as it is, and asked again at the next poll.
 */
export async function coldStart(
  { source, store }: SyncDeps,
  options: ColdStartOptions,
  signal: AbortSignal,
): Promise<void> {
  const { checkpoint } = await store.readProgress()
  if (checkpoint !== null) return

  const newest = await source.readNewest(signal)
  if (newest.entries.length === 0) {
    await store.storeCaughtUp(null, newest.askedAt)
    return
  }
  const logId = readLogId(newest.entries[0]) ?? ''
  // Ids of another prefix would all lie before or all after a position that we make up.
  const prefix = storageTimeOf(logId) === null ? DEFAULT_PREFIX : prefixOf(logId)
  const begin = wholeSecond(newest.askedAt - options.reconcileWindowMs)
  const sweep = { from: wholeSecond(newest.askedAt - options.maxRefreshAgeMs), to: begin }
  await store.begin(syntheticLogId(begin, prefix), sweep.from < sweep.to ? sweep : null)
}

function wholeSecond(at: number): number {
  return Math.floor(at / 1000) * 1000
}
