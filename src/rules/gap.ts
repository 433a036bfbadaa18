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

/** A log whose first entry is younger than this was not truncated: the tenant is new. In milliseconds. */
const NEW_TENANT_MS = MIN_RETENTION_MS / 2

/** Nothing can have been deleted unread after a pause shorter than this, in milliseconds. */
export const GAP_CHECK_THRESHOLD_MS = 60_000

/**
 * Why a span was not read. `retention`: Auth0 deleted it. `empty_log`: the log was empty. `cold_start`: it was
 * deleted before the first start.
 */
export type GapReason = 'retention' | 'empty_log' | 'cold_start'

/** A span that was deleted before it was read. */
export interface Gap extends Span {
  reason: GapReason
}

/** A gap, and when it was detected or last extended. */
export interface RecordedGap extends Gap {
  detectedAt: Instant
}

/** What the log holds, as seen at one moment. */
export interface Retained {
  /** Storage time of the oldest entry; `null`: the log is empty. */
  oldestAt: Instant | null
  requestedAt: Instant
}

/**
 * The span that was deleted before it was read, if any. What counts is how far the log has been read,
 * not the checkpoint: in a quiet tenant the last entry is old and may be deleted without a gap.
 */
export function findGap(progress: Progress, retained: Retained): Gap | null {
  const { sweep } = progress
  if (sweep === null) return findUnread(progress, retained)
  const { oldestAt, requestedAt } = retained
  // Where the log begins after the checkpoint, it does not hold the rest of the sweep either.
  const unread = wasPolledRecently(progress, requestedAt) ? null : findUnread(progress, retained)
  if (unread !== null) return { ...unread, from: Math.min(unread.from, sweep.from) }
  // Everything after the end of the sweep has been read.
  const to = Math.min(oldestAt ?? requestedAt, sweep.to)
  const isTruncated = oldestAt !== null && !isNewTenant(oldestAt, requestedAt)
  return isTruncated && sweep.from < to ? { from: sweep.from, to, reason: 'cold_start' } : null
}

/** Whether a log that begins at `oldestAt` was not truncated, as far as can be known. */
export function isNewTenant(oldestAt: Instant, requestedAt: Instant): boolean {
  return oldestAt > requestedAt - NEW_TENANT_MS
}

/** The instant up to which the log has been read, by freshness or by the checkpoint; `null`: not at all. */
export function readUpTo({ asOf, checkpoint }: Progress, requestedAt: Instant): Instant | null {
  const storedAt = storageTimeOf(checkpoint)
  // An id of another layout can read as any time.
  return storedAt !== null && storedAt <= requestedAt + GAP_CHECK_THRESHOLD_MS
    ? later(asOf, storedAt)
    : asOf
}

/** What has been deleted after the instant up to which the log has been read. */
function findUnread(progress: Progress, { oldestAt, requestedAt }: Retained): Gap | null {
  const end = oldestAt ?? requestedAt
  const from = readUpTo(progress, requestedAt)
  if (from === null || from >= end) return null
  const isRetained = from >= requestedAt - MIN_RETENTION_MS
  const isDeletedEarly = oldestAt !== null && isDeleted(progress.checkpoint, oldestAt, requestedAt)
  if (isRetained && !isDeletedEarly) return null
  return { from, to: end, reason: oldestAt === null ? 'empty_log' : 'retention' }
}

/** During a sweep `asOf` does not move, and the checkpoint of a quiet tenant is old. */
function wasPolledRecently({ lastPollAt, reconciledTo }: Progress, requestedAt: Instant): boolean {
  const polledAt = later(lastPollAt, reconciledTo)
  return polledAt !== null && polledAt >= requestedAt - MIN_RETENTION_MS
}

/** Whether the entry of the checkpoint is deleted, though every plan retains it: others may be, too. */
function isDeleted(checkpoint: string | null, oldestAt: Instant, requestedAt: Instant): boolean {
  if (checkpoint === null || isSynthetic(checkpoint)) return false
  const storedAt = storageTimeOf(checkpoint)
  return storedAt !== null && storedAt >= requestedAt - MIN_RETENTION_MS && storedAt < oldestAt
}
