import { hasCode } from '../errors.js'
import { readLogId } from '../rules/entry.js'
import { findGap, isNewTenant, type RetainedLog, readUpTo } from '../rules/gap.js'
import { type Instant, readDateTime } from '../rules/instant.js'
import { DEFAULT_PREFIX, prefixOf, storageTimeOf, syntheticLogId } from '../rules/log-id.js'
import type { Progress } from '../rules/progress.js'
import type { SyncDeps } from './catch-up.js'

/** An instant before every entry. */
const BEGINNING = Date.UTC(2000, 0, 1)

/** What happens when a gap is found. */
export interface GapOptions {
  /** `record`: the gap is recorded. `floor`: the gap is recorded, and the floor is raised to the end of the gap. */
  onGap: 'record' | 'floor'
}

interface GapSearch extends GapOptions {
  progress: Progress
  /** Storage time of the first entry that the current catch-up has read; `null`: it has read no entry. */
  firstAt: Instant | null
}

/** The retained log, and the tenant's log id prefix. */
interface RetainedLogWithPrefix extends RetainedLog {
  prefix: string
}

/**
 * Records a gap if entries may be lost: Auth0 stored even the oldest retained entry after the instant up to which the log
 * has been read.
 */
export async function recordGap(
  deps: SyncDeps,
  search: GapSearch,
  signal: AbortSignal,
): Promise<RetainedLogWithPrefix> {
  const { progress, onGap } = search
  let retained = await readRetained(deps, search, signal)
  // Reads twice: a single wrong response must neither raise the floor for all users nor hide a gap.
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

/**
 * Returns the response with the older entry. Auth0 retains that entry, even if the other response does not contain it.
 */
function olderOf(a: RetainedLogWithPrefix, b: RetainedLogWithPrefix): RetainedLogWithPrefix {
  return (b.oldestAt ?? Number.POSITIVE_INFINITY) < (a.oldestAt ?? Number.POSITIVE_INFINITY) ? b : a
}

async function readRetained(
  { source }: SyncDeps,
  { progress, firstAt }: GapSearch,
  signal: AbortSignal,
): Promise<RetainedLogWithPrefix> {
  const { entries, requestedAt } = await source.readOldest(signal)
  const [entry] = entries
  const firstReadAt = firstAt ?? Number.POSITIVE_INFINITY
  const prefix = readPrefix([readLogId(entry), progress.checkpoint])
  if (entry === undefined && firstAt === null) return { oldestAt: null, prefix, requestedAt }
  // Reads the storage times of all entries: the entry with the oldest date can have been stored late.
  const storedAts = entries.flatMap((each) => storageTimeOf(readLogId(each)) ?? [])
  // If the log ids contain no storage time, the date is used instead. It is never later than the storage time, so it
  // cannot cause a false gap.
  const datedAt =
    entry === undefined ? firstReadAt : (readDateTime(Object(entry).date) ?? BEGINNING)
  // If Auth0 changes the layout of log ids, the times read from them are wrong, and can be in the future.
  const latestAt = Math.max(requestedAt, progress.now)
  const oldestAt = Math.min(
    firstReadAt,
    latestAt,
    ...(storedAts.length > 0 ? storedAts : [datedAt]),
  )
  const since = progress.sweep?.from ?? readUpTo(progress, requestedAt)
  if (since === null || oldestAt <= since) return { oldestAt, prefix, requestedAt }
  // `readOldest` sorts by date. The first entry in the order of log ids can be older.
  const firstPage = await source
    .readPage(syntheticLogId(BEGINNING, prefix), signal)
    .catch((error) => {
      if (hasCode(error, 'AUTH0_CHECKPOINT_REFUSED')) return null
      throw error
    })
  const olderAt = storageTimeOf(readLogId(firstPage?.entries[0]))
  return { oldestAt: Math.min(oldestAt, olderAt ?? oldestAt), prefix, requestedAt }
}

function readPrefix(logIds: (string | null)[]): string {
  const logId = logIds.find((id) => id !== null && storageTimeOf(id) !== null)
  return logId ? prefixOf(logId) : DEFAULT_PREFIX
}
