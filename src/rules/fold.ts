import type { LogoutEvent } from './entry.js'
import { type Instant, later } from './instant.js'

/** Row of a user: the newest logout, and the newest one that ended all sessions. */
interface UserLogout {
  userId: string
  at: Instant
  allSessionsAt: Instant | null
  /** Log id of the entry that `at` comes from; empty for a reported logout. */
  logId: string
  type: string
}

/** Row of a session. */
interface SessionLogout {
  sessionId: string
  userId: string | null
  at: Instant
  /** Auth0 has ended the session, and never reuses its id. */
  ended: boolean
  logId: string
  type: string
}

/** Rows to store: one per user and one per session. */
export interface Advances {
  users: UserLogout[]
  sessions: SessionLogout[]
}

/** Folds events into one row per user and session. The order and repetition of events do not matter. */
export function fold(events: Iterable<LogoutEvent>): Advances {
  const users = new Map<string, UserLogout>()
  const sessions = new Map<string, SessionLogout>()
  for (const event of events) {
    const { userId, sessionId, at, logId, type } = event
    if (userId !== null) {
      const row = { userId, at, allSessionsAt: sessionId === null ? at : null, logId, type }
      users.set(userId, laterUser(users.get(userId), row))
    }
    if (sessionId !== null) {
      const row = { sessionId, userId, at, ended: true, logId, type }
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
  return { ...newest, ended, userId: greater(stored.userId, next.userId) }
}

/** In the same millisecond the log id decides, so that the order of events does not matter. */
function isNewer(a: { at: Instant; logId: string }, b: { at: Instant; logId: string }): boolean {
  return a.at > b.at || (a.at === b.at && a.logId > b.logId)
}

/** A session has one user. If entries disagree, the result must not depend on their order. */
function greater(a: string | null, b: string | null): string | null {
  if (a === null || b === null) return a ?? b
  return a > b ? a : b
}
