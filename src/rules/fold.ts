import type { LogoutEvent } from './entry.js'
import { type Instant, later } from './instant.js'

/** The row of a user. */
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

/** The row of a session. */
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

/** How events are folded. */
interface FoldOptions {
  /** Whether Auth0 has ended the session that an event names. Default: true. */
  endsSessions?: boolean
}

/**
 * Folds events into one row per user, and one row per session. Neither the order of the events nor duplicates change
 * the result.
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
      users.set(userId, laterUser(users.get(userId), row))
    }
    if (sessionId !== null) {
      const row = { sessionId, userId, at, ended: endsSessions, logId, type }
      sessions.set(sessionId, laterSession(sessions.get(sessionId), row))
    }
  }
  return { users: [...users.values()], sessions: [...sessions.values()] }
}

function laterUser(stored: UserLogout | undefined, next: UserLogout): UserLogout {
  if (stored === undefined) return next
  const newest = isNewer(next, stored) ? next : stored
  return { ...newest, allSessionsAt: later(stored.allSessionsAt, next.allSessionsAt) }
}

function laterSession(stored: SessionLogout | undefined, next: SessionLogout): SessionLogout {
  if (stored === undefined) return next
  const newest = isNewer(next, stored) ? next : stored
  const ended = stored.ended || next.ended
  return { ...newest, ended, userId: greaterUserId(stored.userId, next.userId) }
}

/** Whether `a` is newer than `b`. If both happened in the same millisecond, the greater log id is newer. */
function isNewer(a: { at: Instant; logId: string }, b: { at: Instant; logId: string }): boolean {
  return a.at > b.at || (a.at === b.at && a.logId > b.logId)
}

/**
 * Returns the greater of two user ids. Two entries of a session can name two users, and their order must not matter.
 */
function greaterUserId(a: string | null, b: string | null): string | null {
  if (a === null || b === null) return a ?? b
  return a > b ? a : b
}
