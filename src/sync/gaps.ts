import { hasCode } from '../errors.js'
import type { Progress } from '../ports.js'
import { readLogId } from '../rules/entry.js'
import { type Instant, later, readDateTime } from '../rules/instant.js'
import {
  DEFAULT_PREFIX,
  isSynthetic,
  prefixOf,
  storageTimeOf,
  syntheticLogId,
} from '../rules/log-id.js'
import type { Gap } from '../rules/span.js'
import type { SyncDeps } from './catch-up.js'

/**
 * What the smallest of Auth0's plans retains, in milliseconds.
 *
 * @see https://auth0.com/docs/deploy-monitor/logs/log-data-retention
 */
export const SHORTEST_RETENTION_MS = 86_400_000

/** A log that begins later than this before a first start was not cut off: the tenant is new. */
const NEW_TENANT_MS = SHORTEST_RETENTION_MS / 2

/** Read up to here, nothing can have been deleted meanwhile; in milliseconds. */
export const SETTLED_MS = 60_000

/** Before every entry there is. */
const BEGINNING = Date.UTC(2000, 0, 1)

/** What the log holds, as seen at one moment. */
export interface Retained {
  /** Storage time of the oldest entry; `null`: nothing is retained. */
  oldestAt: Instant | null
  prefix: string
  askedAt: Instant
}

/**
 * What is known not to have been read, and never will be, since the log does not hold it any more.
 * Judged by how far the log has been read, not by the checkpoint: in a quiet tenant the last entry
 * is old, and may be gone, and nothing is missing.
 */
export function findGap(progress: Progress, retained: Retained): Gap | null {
  const { sweep } = progress
  if (sweep === null) return findUnread(progress, retained)
  const { oldestAt, askedAt } = retained
  // Where the log begins beyond the checkpoint, it does not hold the rest of the sweep either.
  const unread = isFollowed(progress, askedAt) ? null : findUnread(progress, retained)
  if (unread !== null) return { ...unread, from: Math.min(unread.from, sweep.from) }
  // What lies behind the sweep's end has been read.
  const to = Math.min(oldestAt ?? askedAt, sweep.to)
  const isCut = oldestAt !== null && !isNewTenant(oldestAt, askedAt)
  return isCut && sweep.from < to ? { from: sweep.from, to, reason: 'cold_start' } : null
}

/** What has been deleted behind what has been read. */
function findUnread(progress: Progress, { oldestAt, askedAt }: Retained): Gap | null {
  const end = oldestAt ?? askedAt
  const from = readUpTo(progress, askedAt)
  if (from === null || from >= end) return null
  const isRetained = from >= askedAt - SHORTEST_RETENTION_MS
  const isDeletedEarly = oldestAt !== null && isMissing(progress.checkpoint, oldestAt, askedAt)
  if (isRetained && !isDeletedEarly) return null
  return { from, to: end, reason: oldestAt === null ? 'empty_log' : 'retention' }
}

/**
 * Whether the log was polled not long ago. While there is something to sweep, `as_of` does not tell,
 * and the checkpoint of a quiet tenant is old.
 */
function isFollowed({ lastPollAt, reconciledTo }: Progress, askedAt: Instant): boolean {
  const followedAt = later(lastPollAt, reconciledTo)
  return followedAt !== null && followedAt >= askedAt - SHORTEST_RETENTION_MS
}

/** The log was not cut off, as far as can be told. */
function isNewTenant(oldestAt: Instant, askedAt: Instant): boolean {
  return oldestAt > askedAt - NEW_TENANT_MS
}

/** Up to where the log has been read, be it by freshness or by the checkpoint; `null`: nowhere. */
export function readUpTo({ asOf, checkpoint }: Progress, askedAt: Instant): Instant | null {
  const storedAt = storageTimeOf(checkpoint ?? '')
  // An id of another layout may read as any time.
  return storedAt !== null && storedAt <= askedAt + SETTLED_MS ? later(asOf, storedAt) : asOf
}

/** An entry that every plan would retain is gone: whatever was stored with it may be gone too. */
function isMissing(checkpoint: string | null, oldestAt: Instant, askedAt: Instant): boolean {
  if (checkpoint === null || isSynthetic(checkpoint)) return false
  const storedAt = storageTimeOf(checkpoint)
  return storedAt !== null && storedAt >= askedAt - SHORTEST_RETENTION_MS && storedAt < oldestAt
}

/** What is done about a gap beside recording it. */
export interface GapOptions {
  /** `floor`: tokens from before its end are refused. */
  onGap: 'record' | 'floor'
}

/** Whose gap is looked for. */
interface GapSearch extends GapOptions {
  progress: Progress
  /** Storage time of an entry that is retained for certain; `null`: none is known. */
  firstAt: Instant | null
}

/** Asks what the log holds, and records the gap there is. Returns what the log holds. */
export async function recordGap(
  deps: SyncDeps,
  search: GapSearch,
  signal: AbortSignal,
): Promise<Retained> {
  const { progress, onGap } = search
  let retained = await readRetained(deps, search, signal)
  // Asked twice: one answer that is odd shall not refuse everybody's tokens, nor hide what is missing.
  if (retained.oldestAt === null || findGap(progress, retained) !== null) {
    retained = olderOf(retained, await readRetained(deps, search, signal))
  }
  const gap = findGap(progress, retained)
  if (gap !== null) {
    const raisesFloor = onGap === 'floor'
    const isNews = await deps.store.storeGap(gap, raisesFloor)
    if (isNews) deps.onFinding?.({ kind: 'gap', gap, raisesFloor })
  }
  const { oldestAt, askedAt } = retained
  const isFirst = progress.asOf === null && progress.lastPollAt === null
  if (isFirst && oldestAt !== null && isNewTenant(oldestAt, askedAt)) {
    deps.onFinding?.({ kind: 'new_tenant', oldestAt })
  }
  return retained
}

/** Of two answers the one that knows of the older entry: that is retained for certain. */
function olderOf(a: Retained, b: Retained): Retained {
  return (b.oldestAt ?? Number.POSITIVE_INFINITY) < (a.oldestAt ?? Number.POSITIVE_INFINITY) ? b : a
}

async function readRetained(
  { source }: SyncDeps,
  { progress, firstAt }: GapSearch,
  signal: AbortSignal,
): Promise<Retained> {
  const { entries, askedAt } = await source.readOldest(signal)
  const [entry] = entries
  const known = firstAt ?? Number.POSITIVE_INFINITY
  const prefix = readPrefix([readLogId(entry), progress.checkpoint])
  if (entry === undefined && firstAt === null) return { oldestAt: null, prefix, askedAt }
  // The oldest by date may have been stored late.
  const storedAts = entries.flatMap((each) => storageTimeOf(readLogId(each) ?? '') ?? [])
  // Where the ids tell no time, the date is not later than the storage.
  const datedAt = entry === undefined ? known : (readDateTime(Object(entry).date) ?? BEGINNING)
  // An id of another layout may read as any time.
  const latestAt = Math.max(askedAt, progress.now)
  const oldestAt = Math.min(known, latestAt, ...(storedAts.length > 0 ? storedAts : [datedAt]))
  const since = progress.sweep?.from ?? readUpTo(progress, askedAt)
  if (since === null || oldestAt <= since) return { oldestAt, prefix, askedAt }
  // By the order of ids there may be an older one.
  const first = await source.readPage(syntheticLogId(BEGINNING, prefix), signal).catch((error) => {
    if (hasCode(error, 'AUTH0_CHECKPOINT_REFUSED')) return null
    throw error
  })
  const olderAt = storageTimeOf(readLogId(first?.entries[0]) ?? '')
  return { oldestAt: Math.min(oldestAt, olderAt ?? oldestAt), prefix, askedAt }
}

function readPrefix(logIds: (string | null)[]): string {
  const logId = logIds.find((id) => id !== null && storageTimeOf(id) !== null)
  return logId ? prefixOf(logId) : DEFAULT_PREFIX
}
