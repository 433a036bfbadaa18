import type { Instant } from './instant.js'

/**
 * A change: the current state of a row that has changed. `at` is the instant of the last logout. The floor is a logout of
 * all users.
 */
export type Change =
  | { kind: 'user'; userId: string; at: Instant; allSessionsAt: Instant | null; type: string }
  | {
      kind: 'session'
      sessionId: string
      userId: string | null
      at: Instant
      ended: boolean
      type: string
    }
  | { kind: 'floor'; at: Instant }
  | ForgottenChange

/**
 * The row of a forgotten person. This row replaces the row with the ids. `createKeyedHash(key)` computed the hashes
 * from the ids. A subscriber of an older release ignores these changes and keeps the ids.
 */
type ForgottenChange =
  | {
      kind: 'forgotten_user'
      key: string
      userHash: string
      at: Instant
      allSessionsAt: Instant | null
      type: string
    }
  | {
      kind: 'forgotten_session'
      key: string
      sessionHash: string
      userHash: string | null
      at: Instant
      ended: boolean
      type: string
    }

/** The arguments of a read of the change feed. */
export interface ChangesQuery {
  /** The cursor to continue from; `null`: from the beginning. */
  after: string | null
  /** Skips rows that last changed before this instant; `null`: skips none. */
  since: Instant | null
  /** Maximum number of changes in the page. A page in columns can have one more. */
  limit: number
  /** Whether the page should contain the changes of users and sessions in columns. Default: `false`. */
  inColumns?: boolean
}

/**
 * The changes of users and sessions in a page of a load, in columns. Instants are milliseconds since the Unix epoch. The
 * columns take less than half of the bytes of the same changes as events. PostgreSQL formats them.
 */
export interface ChangeColumns {
  users: { user_id: string[]; at_ms: Instant[]; all_sessions_at_ms: (Instant | null)[] }
  sessions: {
    session_id: string[]
    user_id: (string | null)[]
    at_ms: Instant[]
    ended: boolean[]
  }
}

/** A page of the change feed, in commit order. */
export interface ChangesPage {
  changes: Change[]
  /** Further changes of this page: {@link ChangeColumns} as JSON. */
  columns?: string
  /** The cursor to continue from. */
  cursor: string
  /**
   * The service has read all entries that Auth0 stored before this instant. `null`: the service has not read the log to
   * its end yet, or `more` is true. While `more` is true, the subscriber's data is incomplete and has no freshness.
   */
  asOf: Instant | null
  /** When the page was read, by the clock of the database. */
  now: Instant
  /** Whether the feed has more changes after this page. With columns, the next page may be empty. */
  more: boolean
}
