import type { Instant } from './instant.js'
import type { KnownLogouts } from './judge.js'

/** The log entry from which a stored instant comes. */
interface Origin {
  /** The log id of the entry; empty for a reported logout. */
  logId: string
  type: string
}

/** The known logouts of a user and a session, read from the database at one moment. */
export interface LogoutSnapshot extends KnownLogouts {
  user: (NonNullable<KnownLogouts['user']> & Origin) | null
  session: (NonNullable<KnownLogouts['session']> & Origin) | null
  /** All entries that Auth0 stored before this instant have been read; `null`: the log was not read to its end yet. */
  asOf: Instant | null
  /** When the logouts were read, by the clock of the database. */
  now: Instant
  /** Whether every logout that can concern a valid token is known. */
  complete: boolean
}
