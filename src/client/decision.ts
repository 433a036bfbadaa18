import type { Instant } from '../rules/instant.js'
import type { Verdict } from '../rules/judge.js'
import type { Judgement, UndecidedReason } from '../rules/judge-claims.js'

/** Why it cannot be said whether a token is revoked. */
export type UnknownReason =
  | UndecidedReason
  /** The logouts have not been loaded yet. */
  | 'not_loaded'
  /** What is known is older than `maxStalenessMs`. */
  | 'stale'
  /** The login is older than the logouts that are held, and asking the service failed. */
  | 'lookup_failed'
  /** `checkNow` only: the service would have to be asked. */
  | 'lookup_needed'
  /** The claims' `iss` is not the client's `issuer`. */
  | 'other_issuer'

/** What became of a check. Instants are milliseconds since the Unix epoch. */
export interface Decision {
  /** Whether the request may go on, by `onUnknown` and `mode`. */
  allowed: boolean
  outcome: 'accepted' | 'revoked' | 'unknown'
  /** `null`: it cannot be said. */
  revoked: boolean | null
  reason: Verdict['reason'] | UnknownReason
  /** The newest logout that covers the token. */
  lastLogoutAt: Instant | null
  /** When the token's login happened. */
  loginAt: Instant | null
  /** Logouts stored by Auth0 after it are not known yet. */
  asOf: Instant | null
}

/** What follows from an outcome. */
export interface Consequences {
  mode: 'enforce' | 'observe'
  onUnknown: 'deny' | 'allow'
}

/** The decision that follows from a judgement. */
export function decide(
  judged: Judgement,
  asOf: Instant | null,
  consequences: Consequences,
): Decision {
  if (judged.revoked === null) return decideUnknown(judged.reason, asOf, consequences)
  const { revoked, reason, lastLogoutAt, loginAt } = judged
  return {
    allowed: !revoked || consequences.mode === 'observe',
    outcome: revoked ? 'revoked' : 'accepted',
    revoked,
    reason,
    lastLogoutAt,
    loginAt,
    asOf,
  }
}

/** The decision where the outcome is unknown. */
export function decideUnknown(
  reason: UnknownReason,
  asOf: Instant | null,
  { mode, onUnknown }: Consequences,
): Decision {
  const allowed = onUnknown === 'allow' || mode === 'observe'
  return {
    allowed,
    outcome: 'unknown',
    revoked: null,
    reason,
    lastLogoutAt: null,
    loginAt: null,
    asOf,
  }
}
