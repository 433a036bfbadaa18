import type { Instant } from './instant.js'
import type { KnownLogouts } from './judge.js'

/** The entry that a stored instant comes from. */
interface Origin {
  /** The log id of the entry; empty for a reported logout. */
  logId: string
  type: string
}

/** The known logouts of a user and a session at one moment, and how complete and fresh the data is. */
export interface LogoutSnapshot extends KnownLogouts {
  user: (NonNullable<KnownLogouts['user']> & Origin) | null
  session: (NonNullable<KnownLogouts['session']> & Origin) | null
  asOf: Instant | null
  /** When the logouts were read, by the clock of the database. */
  now: Instant
  /** False: a logout that can concern a valid token may be missing. */
  complete: boolean
}
