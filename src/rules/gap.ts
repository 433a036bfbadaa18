import { isAhead } from './freshness.js'
import { DAY_MS, type Instant, later } from './instant.js'
import { isSynthetic, storageTimeOf } from './log-id.js'
import type { Progress } from './progress.js'
import type { Span } from './span.js'

/**
 * How long Auth0 keeps entries of the log on its smallest plan, in milliseconds.
 *
 * @see https://auth0.com/docs/deploy-monitor/logs/log-data-retention
 */
export const MIN_RETENTION_MS = DAY_MS

/**
 * A tenant is new if the oldest entry of its log is younger than this, in milliseconds. Auth0 has not deleted any entry
 * of a new tenant.
 */
const MAX_NEW_TENANT_AGE_MS = MIN_RETENTION_MS / 2

/**
 * Maximum time without reading that needs no check for a gap, in milliseconds. In a shorter time, Auth0 deletes no
 * unread entry.
 */
export const GAP_CHECK_THRESHOLD_MS = 60_000

/**
 * Why a span was not read.
 *
 * - `retention`: Auth0 deleted entries of the span while last-logout did not read the log.
 * - `empty_log`: Auth0 deleted all entries of the log while last-logout did not read the log.
 * - `cold_start`: Auth0 deleted entries of the span before last-logout first started.
 */
export type GapReason = 'retention' | 'empty_log' | 'cold_start'

/** A span of storage time whose entries Auth0 deleted before last-logout read them. */
export interface Gap extends Span {
  reason: GapReason
}

/** A gap in the database. */
export interface RecordedGap extends Gap {
  /** When the gap was detected or last extended. */
  detectedAt: Instant
}

/** The result of a request for the oldest entry of the log. */
export interface RetainedLog {
  /** When Auth0 stored the oldest entry; `null`: the log is empty. */
  oldestAt: Instant | null
  /** When the request was sent, by Auth0's clock. */
  requestedAt: Instant
}

/**
 * Returns the span whose entries Auth0 deleted before they were read; `null`: there is no such span.
 *
 * The gap begins at the instant up to which the log has been read. In a quiet tenant, this instant is later than the
 * entry of the checkpoint, so the deletion of this entry causes no gap. A sweep is the search for older logouts after
 * the first start. A gap during a sweep also contains the span of the log that the sweep has not searched yet.
 */
export function findGap(progress: Progress, retained: RetainedLog): Gap | null {
  const { sweep } = progress
  if (sweep === null) return findUnread(progress, retained)
  const { oldestAt, requestedAt } = retained
  // If the log begins after the checkpoint, Auth0 has also deleted the span that the sweep has not searched yet.
  const unread = wasPolledRecently(progress, requestedAt) ? null : findUnread(progress, retained)
  if (unread !== null) return { ...unread, from: Math.min(unread.from, sweep.from) }
  // Pages contain the entries after the sweep's span, so a `cold_start` gap cannot end later than this span.
  const to = Math.min(oldestAt ?? requestedAt, sweep.to)
  const isTruncated = oldestAt !== null && !isNewTenant(oldestAt, requestedAt)
  return isTruncated && sweep.from < to ? { from: sweep.from, to, reason: 'cold_start' } : null
}

/** A part of a sweep, and the gap that was recorded before. */
interface SweptPart {
  /** End of the part. */
  searchedTo: Instant
  /** The gap that begins where the sweep ends; `null`: no gap was recorded. */
  recorded: Gap | null
}

/**
 * Returns the gap of a first start, extended by the entries that Auth0 deleted during the sweep; `null`: the recorded
 * gap is up to date, or there is no gap.
 */
export function findSweepGap(
  { sweep, reconciledTo }: Progress,
  { oldestAt, requestedAt }: RetainedLog,
  { searchedTo, recorded }: SweptPart,
): Gap | null {
  if (sweep === null || oldestAt === null) return null
  const to = Math.min(oldestAt, searchedTo)
  if (to <= (recorded?.to ?? sweep.from)) return null
  // Before the first reconcile, `reconciledTo` is the time of the first start.
  const startedAt = reconciledTo ?? requestedAt
  // A tenant that was new at the first start can be older now.
  const isNew = isNewTenant(oldestAt, startedAt) && requestedAt - startedAt < MAX_NEW_TENANT_AGE_MS
  if (recorded === null && isNew) return null
  return { from: sweep.from, to, reason: recorded?.reason ?? 'cold_start' }
}

/**
 * Returns the span whose entries Auth0 deleted before a slow catch-up read them; `null`: there is no such span.
 *
 * @param from Beginning of the gap.
 * @param readTo All entries before this instant were read, or are in a gap.
 */
export function findOvertaken(
  { from, readTo }: { from: Instant; readTo: Instant },
  { oldestAt, requestedAt }: RetainedLog,
): Gap | null {
  const to = oldestAt ?? requestedAt
  return readTo < to && canBeDeleted(readTo, requestedAt) ? { from, to, reason: 'retention' } : null
}

/** Whether Auth0 can have deleted an entry because of its age. */
export function canBeDeleted(storedAt: Instant, requestedAt: Instant): boolean {
  return storedAt < requestedAt - MIN_RETENTION_MS
}

/** Whether the oldest entry of the log is so recent that Auth0 cannot have deleted any entry. */
export function isNewTenant(oldestAt: Instant, requestedAt: Instant): boolean {
  return oldestAt > requestedAt - MAX_NEW_TENANT_AGE_MS
}

/** Returns the instant up to which the log was read; `null`: the log was never read. */
export function readUpTo({ asOf, checkpoint }: Progress, requestedAt: Instant): Instant | null {
  const storedAt = storageTimeOf(checkpoint)
  // If Auth0 changes the layout of log ids, `storedAt` can be wrong. A time in the future is certainly wrong.
  return storedAt !== null && !isAhead(storedAt, requestedAt) ? later(asOf, storedAt) : asOf
}

/** Returns the gap between the instant up to which the log was read and the oldest entry; `null`: there is no gap. */
function findUnread(progress: Progress, { oldestAt, requestedAt }: RetainedLog): Gap | null {
  const end = oldestAt ?? requestedAt
  const from = readUpTo(progress, requestedAt)
  if (from === null || from >= end) return null
  const isEarly = oldestAt !== null && isDeletedEarly(progress.checkpoint, oldestAt, requestedAt)
  if (!canBeDeleted(from, requestedAt) && !isEarly) return null
  return { from, to: end, reason: oldestAt === null ? 'empty_log' : 'retention' }
}

/**
 * Whether the log was polled within the retention of the smallest plan. `asOf` cannot be used, because it does not move
 * during a sweep. The checkpoint cannot be used, because it is old in a quiet tenant.
 */
function wasPolledRecently({ lastPollAt, reconciledTo }: Progress, requestedAt: Instant): boolean {
  const polledAt = later(lastPollAt, reconciledTo)
  return polledAt !== null && polledAt >= requestedAt - MIN_RETENTION_MS
}

/**
 * Whether Auth0 has deleted the entry of the checkpoint before the retention of the smallest plan ended. Then Auth0 may
 * have deleted other entries early, too.
 */
function isDeletedEarly(
  checkpoint: string | null,
  oldestAt: Instant,
  requestedAt: Instant,
): boolean {
  if (checkpoint === null || isSynthetic(checkpoint)) return false
  const storedAt = storageTimeOf(checkpoint)
  return storedAt !== null && !canBeDeleted(storedAt, requestedAt) && storedAt < oldestAt
}
