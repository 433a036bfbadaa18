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
  /** The logouts in memory are not sufficient, and the request to the service failed. */
  | 'lookup_failed'
  /** Only from `checkNow`: the logouts in memory are not sufficient. */
  | 'lookup_needed'
  /** The claim `iss` differs from the option `issuer`. */
  | 'other_issuer'

/** Result of a check. Instants are milliseconds since the Unix epoch. */
export interface Decision {
  /** Whether the request may continue. This depends on the outcome, `onUnknown` and `mode`. */
  allowed: boolean
  outcome: Outcome
  /** `null`: the outcome is `unknown`. */
  revoked: boolean | null
  reason: Verdict['reason'] | UnknownReason
  /** The newest logout that covers the token. */
  lastLogoutAt: Instant | null
  /** When the user logged in. */
  loginAt: Instant | null
  /** Logouts that Auth0 stored after this instant may be missing. */
  asOf: Instant | null
}

/** The settings that decide whether a request may continue. */
export interface Enforcement {
  mode: 'enforce' | 'observe'
  onUnknown: 'deny' | 'allow'
}

/** Returns the decision for a judgement. */
export function decide(
  judgement: Judgement,
  asOf: Instant | null,
  enforcement: Enforcement,
): Decision {
  if (judgement.revoked === null) return decideUnknown(judgement.reason, asOf, enforcement)
  const { revoked, reason, lastLogoutAt, loginAt } = judgement
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
