import { isAhead } from './freshness.js'
import { DAY_MS, type Instant, later } from './instant.js'
import { isSynthetic, storageTimeOf } from './log-id.js'
import type { Progress } from './progress.js'
import type { Span } from './span.js'

/**
 * Retention of the smallest Auth0 plan, in milliseconds.
 *
 * @see https://auth0.com/docs/deploy-monitor/logs/log-data-retention
 */
export const MIN_RETENTION_MS = DAY_MS

/**
 * If the oldest entry of the log is younger than this, in milliseconds, the tenant is new: Auth0 has not deleted older
 * entries.
 */
const MAX_NEW_TENANT_AGE_MS = MIN_RETENTION_MS / 2

/**
 * After a pause of reading that is longer than this, in milliseconds, a gap is checked for. In a shorter pause, Auth0
 * deletes no unread entry.
 */
export const GAP_CHECK_THRESHOLD_MS = 60_000

/**
 * Why a span was not read. `retention`: Auth0 deleted entries of the span while the log was not read. `empty_log`: Auth0
 * deleted all entries of the log while the log was not read. `cold_start`: Auth0 deleted entries of the span before the
 * first start.
 */
export type GapReason = 'retention' | 'empty_log' | 'cold_start'

/** A span whose entries were deleted before they were read. */
export interface Gap extends Span {
  reason: GapReason
}

/** A gap, and when it was detected or last extended. */
export interface RecordedGap extends Gap {
  detectedAt: Instant
}

/** The retained log, as one request showed it: Auth0 has deleted every entry before the oldest one. */
export interface RetainedLog {
  /** Storage time of the oldest entry; `null`: the log is empty. */
  oldestAt: Instant | null
  /** When the request was sent, by Auth0's clock. */
  requestedAt: Instant
}

/**
 * Returns the span whose entries were deleted before they were read; `null`: there is no such span. The gap begins at
 * the instant up to which the log has been read. That instant can be later than the entry of the checkpoint: in a quiet
 * tenant, the last entry is old, and its deletion causes no gap.
 */
export function findGap(progress: Progress, retained: RetainedLog): Gap | null {
  const { sweep } = progress
  if (sweep === null) return findUnread(progress, retained)
  const { oldestAt, requestedAt } = retained
  // If the log begins after the checkpoint, the entries that remain to be swept were deleted too.
  const unread = wasPolledRecently(progress, requestedAt) ? null : findUnread(progress, retained)
  if (unread !== null) return { ...unread, from: Math.min(unread.from, sweep.from) }
  // Pages are read from the end of the sweep on, so a gap of the cold start ends there at the latest.
  const to = Math.min(oldestAt ?? requestedAt, sweep.to)
  const isTruncated = oldestAt !== null && !isNewTenant(oldestAt, requestedAt)
  return isTruncated && sweep.from < to ? { from: sweep.from, to, reason: 'cold_start' } : null
}

/** Whether the oldest entry of the log is so recent that the tenant must be new, and Auth0 has deleted no entry. */
export function isNewTenant(oldestAt: Instant, requestedAt: Instant): boolean {
  return oldestAt > requestedAt - MAX_NEW_TENANT_AGE_MS
}

/** Returns the instant up to which the log was read: `asOf` or the time of the checkpoint; `null`: it was not read. */
export function readUpTo({ asOf, checkpoint }: Progress, requestedAt: Instant): Instant | null {
  const storedAt = storageTimeOf(checkpoint)
  // If Auth0 changes the layout of log ids, the time can be wrong. A time in the future certainly is.
  return storedAt !== null && !isAhead(storedAt, requestedAt) ? later(asOf, storedAt) : asOf
}

/** Returns the gap after the instant up to which the log has been read. */
function findUnread(progress: Progress, { oldestAt, requestedAt }: RetainedLog): Gap | null {
  const end = oldestAt ?? requestedAt
  const from = readUpTo(progress, requestedAt)
  if (from === null || from >= end) return null
  const isRetained = from >= requestedAt - MIN_RETENTION_MS
  const isEarly = oldestAt !== null && isDeletedEarly(progress.checkpoint, oldestAt, requestedAt)
  if (isRetained && !isEarly) return null
  return { from, to: end, reason: oldestAt === null ? 'empty_log' : 'retention' }
}

/**
 * Whether the log was polled within the retention of the smallest plan. The times of the polls decide, because during a
 * sweep `asOf` does not move, and in a quiet tenant the checkpoint is old.
 */
function wasPolledRecently({ lastPollAt, reconciledTo }: Progress, requestedAt: Instant): boolean {
  const polledAt = later(lastPollAt, reconciledTo)
  return polledAt !== null && polledAt >= requestedAt - MIN_RETENTION_MS
}

/**
 * Whether Auth0 has deleted the entry of the checkpoint although it is younger than the retention of the smallest plan.
 * Then Auth0 may have deleted other entries early, too.
 */
function isDeletedEarly(
  checkpoint: string | null,
  oldestAt: Instant,
  requestedAt: Instant,
): boolean {
  if (checkpoint === null || isSynthetic(checkpoint)) return false
  const storedAt = storageTimeOf(checkpoint)
  return storedAt !== null && storedAt >= requestedAt - MIN_RETENTION_MS && storedAt < oldestAt
}
