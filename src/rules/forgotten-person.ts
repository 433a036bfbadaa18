import type { Instant } from './instant.js'

/** The result of forgetting a person. Keyed hashes replace the ids of the person, and the tokens stay revoked. */
export interface ForgottenPerson {
  /** Number of rows of `last_logout` whose ids were replaced by hashes: 0 or 1. */
  users: number
  /** Number of rows of `session_logout` whose ids were replaced by hashes. */
  sessions: number
  /** Number of deleted unattributable entries: those that contained an id of the person. */
  entries: number
  /** All rows that now contain hashes of the person, including those of earlier calls; `null`: there are none. */
  remaining: {
    /** The last logout in the user's row; `null`: only rows of sessions remain. */
    lastLogoutAt: Instant | null
    sessions: number
    /** The newest logout in these rows. */
    newestAt: Instant
  } | null
  /** When the person was forgotten, by the clock of the database. */
  now: Instant
}
