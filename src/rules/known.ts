import type { Instant } from './instant.js'
import type { KnownLogouts } from './judge.js'

/** The entry that a stored instant comes from. */
interface Origin {
  /** Empty for a reported logout. */
  logId: string
  type: string
}

/** What is known of a user's logouts at one moment: everything that judging a token needs. */
export interface Known extends KnownLogouts {
  user: (NonNullable<KnownLogouts['user']> & Origin) | null
  session: (NonNullable<KnownLogouts['session']> & Origin) | null
  asOf: Instant | null
  /** When this was read, by the clock of the database. */
  now: Instant
  /** Whether no logout that could affect a valid token is known to be missing. */
  complete: boolean
}
