import type { Instant } from './instant.js'

/** What forgetting a person has changed, and what remains of the person. */
export interface ForgottenPerson {
  /** Number of rows of `last_logout` whose ids were replaced by hashes: 0 or 1. */
  users: number
  /** Number of rows of `session_logout` whose ids were replaced by hashes. */
  sessions: number
  /** Number of unattributable entries that contained an id of the person, and were deleted. */
  entries: number
  /** The rows of the person that contain hashes, including rows of an earlier call; `null`: there are none. */
  remaining: {
    /** The last logout in the user's row; `null`: only rows of sessions remain. */
    lastLogoutAt: Instant | null
    sessions: number
    /** The newest logout of these rows. */
    newestAt: Instant
  } | null
  /** When the person was forgotten, by the clock of the database. */
  now: Instant
}
