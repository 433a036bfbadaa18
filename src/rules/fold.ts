import type { LogoutEvent } from './entry.js'
import { type Instant, later } from './instant.js'

/** The row of a user in the database. */
interface UserLogout {
  userId: string
  /** The newest logout. */
  at: Instant
  /** The newest logout that ended all sessions; `null`: there is none. */
  allSessionsAt: Instant | null
  /** The log id of the entry that `at` comes from; empty for a reported logout. */
  logId: string
  type: string
}

/** The row of a session in the database. */
interface SessionLogout {
  sessionId: string
  userId: string | null
  at: Instant
  /** Whether Auth0 has ended the session. Auth0 never reuses the id of a session. */
  ended: boolean
  logId: string
  type: string
}

/** Rows to store: one per user, and one per session. */
export interface LogoutRows {
  users: UserLogout[]
  sessions: SessionLogout[]
}

/** Options of {@link fold}. */
interface FoldOptions {
  /** Whether Auth0 has ended the sessions that the events name. Default: true. */
  endsSessions?: boolean
}

/**
 * Merges events into one row per user and one row per session. The order of the events and duplicates have no effect.
 */
export function fold(
  events: Iterable<LogoutEvent>,
  { endsSessions = true }: FoldOptions = {},
): LogoutRows {
  const users = new Map<string, UserLogout>()
  const sessions = new Map<string, SessionLogout>()
  for (const event of events) {
    const { userId, sessionId, at, logId, type } = event
    if (userId !== null) {
      const row = { userId, at, allSessionsAt: sessionId === null ? at : null, logId, type }
      users.set(userId, mergeUserRows(users.get(userId), row))
    }
    if (sessionId !== null) {
      const row = { sessionId, userId, at, ended: endsSessions, logId, type }
      sessions.set(sessionId, mergeSessionRows(sessions.get(sessionId), row))
    }
  }
  return { users: [...users.values()], sessions: [...sessions.values()] }
}

function mergeUserRows(a: UserLogout | undefined, b: UserLogout): UserLogout {
  if (a === undefined) return b
  const newest = isNewer(b, a) ? b : a
  return { ...newest, allSessionsAt: later(a.allSessionsAt, b.allSessionsAt) }
}

function mergeSessionRows(a: SessionLogout | undefined, b: SessionLogout): SessionLogout {
  if (a === undefined) return b
  const newest = isNewer(b, a) ? b : a
  return { ...newest, ended: a.ended || b.ended, userId: greaterUserId(a.userId, b.userId) }
}

/** Whether `a` is newer than `b`. If both happened in the same millisecond, the greater log id is newer. */
function isNewer(a: { at: Instant; logId: string }, b: { at: Instant; logId: string }): boolean {
  return a.at > b.at || (a.at === b.at && a.logId > b.logId)
}

/**
 * Chooses between two users that entries of one session name. The choice must not depend on the order of the entries.
 */
function greaterUserId(a: string | null, b: string | null): string | null {
  if (a === null || b === null) return a ?? b
  return a > b ? a : b
}
