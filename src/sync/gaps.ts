import { hasCode } from '../errors.js'
import { readLogId } from '../rules/entry.js'
import { findGap, type Gap, isNewTenant, type RetainedLog, readUpTo } from '../rules/gap.js'
import { type Instant, readDateTime } from '../rules/instant.js'
import { DEFAULT_PREFIX, prefixOf, storageTimeOf, syntheticLogId } from '../rules/log-id.js'
import type { Progress } from '../rules/progress.js'
import type { SyncDeps } from './catch-up.js'

/** An instant that is earlier than every entry of Auth0. */
const BEFORE_EVERY_ENTRY = Date.UTC(2000, 0, 1)

/** The option for gaps: spans of the log that Auth0 deleted before they were read. */
export interface GapOptions {
  /**
   * `record`: records a gap. `floor`: also raises the floor to the end of the gap, which ends tokens of earlier logins.
   */
  onGap: 'record' | 'floor'
}

interface GapSearch extends GapOptions {
  progress: Progress
  /** When Auth0 stored the first entry that the current catch-up has read; `null` if it has read no entry. */
  firstAt: Instant | null
  /** Finds the gap. Default: {@link findGap}. */
  find?: (retained: RetainedLog) => Gap | null
}

/** The retained log, and the prefix of the tenant's log ids. */
interface RetainedLogWithPrefix extends RetainedLog {
  prefix: string
}

/**
 * Records a gap if the oldest entry that Auth0 retains was stored after the instant up to which the log has been read.
 * Auth0 may have deleted entries between these two instants.
 */
export async function recordGap(
  deps: SyncDeps,
  search: GapSearch,
  signal: AbortSignal,
): Promise<RetainedLogWithPrefix> {
  const { progress, onGap, find = (response) => findGap(progress, response) } = search
  let retained = await readRetained(deps, search, signal)
  // Reads a second time to confirm the result: one wrong response must neither raise the floor for all users nor hide a
  // gap.
  if (retained.oldestAt === null || find(retained) !== null) {
    retained = olderOf(retained, await readRetained(deps, search, signal))
  }
  const gap = find(retained)
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

/** Returns the response with the older entry. */
function olderOf(a: RetainedLogWithPrefix, b: RetainedLogWithPrefix): RetainedLogWithPrefix {
  return (b.oldestAt ?? Number.POSITIVE_INFINITY) < (a.oldestAt ?? Number.POSITIVE_INFINITY) ? b : a
}

/** Reads the storage time of the oldest entry that Auth0 retains. */
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
  // Auth0 sorts the response by date. So the first entry is not always the entry that was stored first.
  const storedAts = entries.flatMap((each) => storageTimeOf(readLogId(each)) ?? [])
  // If no log id contains a storage time, the date of the entry is used. An entry is never dated after its storage
  // time, so its date causes no false gap.
  const datedAt =
    entry === undefined ? firstReadAt : (readDateTime(Object(entry).date) ?? BEFORE_EVERY_ENTRY)
  // If Auth0 changes the layout of log ids, a log id can contain a time in the future.
  const latestAt = Math.max(requestedAt, progress.now)
  const oldestAt = Math.min(
    firstReadAt,
    latestAt,
    ...(storedAts.length > 0 ? storedAts : [datedAt]),
  )
  const since = progress.sweep?.from ?? readUpTo(progress, requestedAt)
  if (since === null || oldestAt <= since) return { oldestAt, prefix, requestedAt }
  // The entry with the lowest log id can have an older storage time than the entry with the oldest date.
  const firstPage = await source
    .readPage(syntheticLogId(BEFORE_EVERY_ENTRY, prefix), signal)
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
