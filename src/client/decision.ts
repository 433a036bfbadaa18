import type { Instant } from '../rules/instant.js'
import type { Outcome, Verdict } from '../rules/judge.js'
import type { Judgement, UndecidedReason } from '../rules/judge-claims.js'

/** Why the revocation status of a token is unknown. */
export type UnknownReason =
  | UndecidedReason
  /** The first load of the logouts is not complete. */
  | 'not_loaded'
  /** The data is older than `maxStalenessMs`. */
  | 'stale'
  /** The login is before the time since which the memory contains all logouts, and the request to the service failed. */
  | 'lookup_failed'
  /** Only from `checkNow`: the check needs a request to the service. */
  | 'lookup_needed'
  /** The claims' `iss` is not the client's `issuer`. */
  | 'other_issuer'

/** Result of a check. Instants are milliseconds since the Unix epoch. */
export interface Decision {
  /** Whether the request may continue. Follows from the outcome, `onUnknown` and `mode`. */
  allowed: boolean
  outcome: Outcome
  /** `null`: unknown. */
  revoked: boolean | null
  reason: Verdict['reason'] | UnknownReason
  /** The newest logout that covers the token. */
  lastLogoutAt: Instant | null
  /** When the user logged in. */
  loginAt: Instant | null
  /** Logouts that Auth0 stored after this instant may be missing. */
  asOf: Instant | null
}

/** The settings that turn an outcome into a decision. */
export interface Enforcement {
  mode: 'enforce' | 'observe'
  onUnknown: 'deny' | 'allow'
}

/** Returns the decision for a judgement. */
export function decide(
  judged: Judgement,
  asOf: Instant | null,
  enforcement: Enforcement,
): Decision {
  if (judged.revoked === null) return decideUnknown(judged.reason, asOf, enforcement)
  const { revoked, reason, lastLogoutAt, loginAt } = judged
  return {
    allowed: !revoked || enforcement.mode === 'observe',
    outcome: revoked ? 'revoked' : 'accepted',
    revoked,
    reason,
    lastLogoutAt,
    loginAt,
    asOf,
  }
}

/** Returns the decision for an unknown outcome. */
export function decideUnknown(
  reason: UnknownReason,
  asOf: Instant | null,
  { mode, onUnknown }: Enforcement,
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
