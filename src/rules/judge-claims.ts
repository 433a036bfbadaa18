import { type JudgeOptions, judge, type KnownLogouts, type Verdict } from './judge.js'
import { isLoginUnreadable, type SubjectlessToken, type TokenWithClaimNames } from './token.js'

/** Why the claims do not suffice to decide whether a token is revoked. */
export type UndecidedReason =
  /** The claims have no usable `sub`. */
  | 'no_subject'
  /** The claim with the time of the login is present but unreadable. */
  | 'login_unreadable'

/**
 * The result of judging claims. `revoked: null`: no known logout revokes the token, but the claims are insufficient.
 */
export type Judgement = Verdict | { revoked: null; reason: UndecidedReason }

/**
 * Judges a token by its claims, even if the claims are incomplete. If no known logout revokes the token, a missing
 * `sub` or an unreadable login leaves the token undecided.
 */
export function judgeClaims(
  token: TokenWithClaimNames | SubjectlessToken,
  knownLogouts: KnownLogouts,
  options: JudgeOptions,
): Judgement {
  if (token.subject === null) {
    // Without a user, only the session and the floor can cover the token.
    const verdict = judge({ ...token, subject: '' }, { ...knownLogouts, user: null }, options)
    return verdict.revoked ? verdict : { revoked: null, reason: 'no_subject' }
  }
  const verdict = judge(token, knownLogouts, options)
  const isFinal = verdict.revoked || verdict.reason === 'machine_token'
  return isFinal || !isLoginUnreadable(token)
    ? verdict
    : { revoked: null, reason: 'login_unreadable' }
}
