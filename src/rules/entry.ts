import { endsOneSession, initiatorEndsAllSessions } from './event-types.js'
import { readId } from './id.js'
import { type Instant, readDateTime } from './instant.js'
import { storageTimeOf } from './log-id.js'
import { isRecord } from './record.js'

/** A log entry that counts as a logout. At least one of `userId` and `sessionId` is not `null`. */
export interface LogoutEvent {
  /** The log id of the entry; empty if it has none. */
  logId: string
  type: string
  /** When the logout happened. If this instant is in the future, the store replaces it by the database's time. */
  at: Instant
  /** The user who logged out; `null`: the entry names only the session. */
  userId: string | null
  /** The session that ended; `null`: all sessions of the user. */
  sessionId: string | null
}

/**
 * Why an entry that may be a logout cannot be used.
 *
 * - `malformed`: the entry is not an object with a `type`.
 * - `no_subject`: the entry names neither a user nor a session.
 * - `no_instant`: the entry has no readable time.
 * - `not_storable`: the database refused the row of the entry.
 */
export const UNATTRIBUTABLE_REASONS = [
  'malformed',
  'no_subject',
  'no_instant',
  'not_storable',
] as const
type UnattributableReason = Exclude<(typeof UNATTRIBUTABLE_REASONS)[number], 'not_storable'>

/** The result of reading an entry. `other`: the entry is not a logout. */
export type ParsedEntry =
  | { kind: 'event'; event: LogoutEvent }
  | { kind: 'unattributable'; reason: UnattributableReason }
  | { kind: 'other' }

/**
 * Reads one entry of the tenant log. Accepts any value and never throws.
 *
 * @param types The event types that count as a logout.
 */
export function readEntry(entry: unknown, types: ReadonlySet<string>): ParsedEntry {
  if (!isRecord(entry) || typeof entry.type !== 'string') return unattributable('malformed')
  const { type } = entry
  if (!types.has(type)) return { kind: 'other' }

  const details = isRecord(entry.details) ? entry.details : {}
  if (
    type === 'oidc_backchannel_logout_succeeded' &&
    !initiatorEndsAllSessions(details.initiator)
  ) {
    return { kind: 'other' }
  }
  const userId = readId(entry.user_id)
  const sessionId = readId(details.session_id)
  if (userId === null && sessionId === null) return unattributable('no_subject')

  const logId = readLogId(entry)
  const at = readInstant(entry, logId)
  if (at === null) return unattributable('no_instant')

  const endsAllSessions = userId !== null && !endsOneSession(type)
  const event = {
    logId: logId ?? '',
    type,
    at,
    userId,
    sessionId: endsAllSessions ? null : sessionId,
  }
  return { kind: 'event', event }
}

/** Reads the log id of an entry. Older tenants and exporters name the field `_id`. */
export function readLogId(entry: unknown): string | null {
  return isRecord(entry) ? (readId(entry.log_id) ?? readId(entry._id)) : null
}

/** Returns the earlier of the entry's `date` and the time at which Auth0 stored the entry. */
function readInstant(entry: Record<string, unknown>, logId: string | null): Instant | null {
  const date = readDateTime(entry.date)
  const stored = logId === null ? null : storageTimeOf(logId)
  if (date === null || stored === null) return date ?? stored
  return Math.min(date, stored)
}

function unattributable(reason: UnattributableReason): ParsedEntry {
  return { kind: 'unattributable', reason }
}
