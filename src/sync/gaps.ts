import { hasCode } from '../errors.js'
import { readLogId } from '../rules/entry.js'
import { findGap, isNewTenant, type Retained, readUpTo } from '../rules/gap.js'
import { type Instant, readDateTime } from '../rules/instant.js'
import { DEFAULT_PREFIX, prefixOf, storageTimeOf, syntheticLogId } from '../rules/log-id.js'
import type { Progress } from '../rules/progress.js'
import type { SyncDeps } from './catch-up.js'

/** Earlier than every entry. */
const BEGINNING = Date.UTC(2000, 0, 1)

/** What happens when a gap is found. */
export interface GapOptions {
  /** `record`: the gap is recorded. `floor`: the floor is raised to its end as well. */
  onGap: 'record' | 'floor'
}

interface GapSearch extends GapOptions {
  progress: Progress
  /** Storage time of an entry that is known to be retained, if any. */
  firstAt: Instant | null
}

/** What the log holds, and the tenant's log id prefix. */
interface RetainedLog extends Retained {
  prefix: string
}

/**
 * Compares what the log holds with how far it has been read, and records a gap.
 *
 * @returns What the log holds.
 */
export async function recordGap(
  deps: SyncDeps,
  search: GapSearch,
  signal: AbortSignal,
): Promise<RetainedLog> {
  const { progress, onGap } = search
  let retained = await readRetained(deps, search, signal)
  // A single wrong response must neither raise the floor for all users nor hide a gap: ask twice.
  if (retained.oldestAt === null || findGap(progress, retained) !== null) {
    retained = olderOf(retained, await readRetained(deps, search, signal))
  }
  const gap = findGap(progress, retained)
  if (gap !== null) {
    const raisesFloor = onGap === 'floor'
    const isNew = await deps.store.storeGap(gap, raisesFloor)
    if (isNew) deps.onFinding?.({ kind: 'gap', gap, raisesFloor })
  }
  const { oldestAt, requestedAt } = retained
  const isFirst = progress.asOf === null && progress.lastPollAt === null
  if (isFirst && oldestAt !== null && isNewTenant(oldestAt, requestedAt)) {
    deps.onFinding?.({ kind: 'new_tenant', oldestAt })
  }
  return retained
}

/** The one that knows the older entry: that entry is certainly retained. */
function olderOf(a: RetainedLog, b: RetainedLog): RetainedLog {
  return (b.oldestAt ?? Number.POSITIVE_INFINITY) < (a.oldestAt ?? Number.POSITIVE_INFINITY) ? b : a
}

async function readRetained(
  { source }: SyncDeps,
  { progress, firstAt }: GapSearch,
  signal: AbortSignal,
): Promise<RetainedLog> {
  const { entries, requestedAt } = await source.readOldest(signal)
  const [entry] = entries
  const known = firstAt ?? Number.POSITIVE_INFINITY
  const prefix = readPrefix([readLogId(entry), progress.checkpoint])
  if (entry === undefined && firstAt === null) return { oldestAt: null, prefix, requestedAt }
  // The entry with the oldest date can have been stored late.
  const storedAts = entries.flatMap((each) => storageTimeOf(readLogId(each)) ?? [])
  // Ids of another layout have no storage time. The date is not later than the storage time.
  const datedAt = entry === undefined ? known : (readDateTime(Object(entry).date) ?? BEGINNING)
  // An id of another layout can read as any time.
  const latestAt = Math.max(requestedAt, progress.now)
  const oldestAt = Math.min(known, latestAt, ...(storedAts.length > 0 ? storedAts : [datedAt]))
  const since = progress.sweep?.from ?? readUpTo(progress, requestedAt)
  if (since === null || oldestAt <= since) return { oldestAt, prefix, requestedAt }
  // In the order of log ids there can be an older entry.
  const first = await source.readPage(syntheticLogId(BEGINNING, prefix), signal).catch((error) => {
    if (hasCode(error, 'AUTH0_CHECKPOINT_REFUSED')) return null
    throw error
  })
  const olderAt = storageTimeOf(readLogId(first?.entries[0]))
  return { oldestAt: Math.min(oldestAt, olderAt ?? oldestAt), prefix, requestedAt }
}

function readPrefix(logIds: (string | null)[]): string {
  const logId = logIds.find((id) => id !== null && storageTimeOf(id) !== null)
  return logId ? prefixOf(logId) : DEFAULT_PREFIX
}
