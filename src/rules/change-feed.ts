import type { Instant } from './instant.js'

/** A change: the current state of a row that has changed. */
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
 * The row of a forgotten person: its ids are hashes under `key`, by `createKeyedHash`. It replaces the row with the ids.
 * A subscriber that does not know these kinds ignores them, and keeps what it holds.
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

/** Which changes to read. */
export interface ChangesQuery {
  /** The cursor to continue from; `null`: from the beginning. */
  after: string | null
  /** Skips rows that last changed before this instant; `null`: skips none. */
  since: Instant | null
  limit: number
}

/** A page of the change feed, in commit order. */
export interface ChangesPage {
  changes: Change[]
  /** The cursor to continue from. */
  cursor: string
  /** Also `null` while `more` is true: a subscriber must have received every change before it relies on freshness. */
  asOf: Instant | null
  /** When the page was read, by the clock of the database. */
  now: Instant
  /** Whether the feed has more changes after this page. */
  more: boolean
}
