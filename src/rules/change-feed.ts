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
 * The row of a forgotten person. It contains the hashes of the ids, made by `createKeyedHash(key)`, and replaces the row
 * with the ids. A subscriber of an older release ignores changes of these kinds, and keeps the ids that it holds.
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
  /**
   * The log has been read up to this instant. `null`: the first catch-up has not ended, or `more` is true. Before a
   * subscriber has received every change, the freshness does not apply to its data.
   */
  asOf: Instant | null
  /** When the page was read, by the clock of the database. */
  now: Instant
  /** Whether the feed has more changes after this page. */
  more: boolean
}
