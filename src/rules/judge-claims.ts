import { type JudgeOptions, judge, type KnownLogouts, type Verdict } from './judge.js'
import { type ClaimedToken, isLoginUnreadable, type SubjectlessToken } from './token.js'

/** Why claims do not suffice to accept a token. */
export type UndecidedReason =
  /** The claims have no usable `sub`. */
  | 'no_subject'
  /** The claim that says when the login happened is present, but cannot be read. */
  | 'login_unreadable'

/** A verdict; or no logout is known to revoke the token, but its claims do not suffice to accept it. */
export type Judgement = Verdict | { revoked: null; reason: UndecidedReason }

/**
 * Judges a token by what its claims say. Whatever revokes it counts: the end of its session first,
 * then a covering logout or the floor. Where nothing does, a missing `sub` or an unreadable login
 * leaves it undecided.
 */
export function judgeClaims(
  token: ClaimedToken | SubjectlessToken,
  known: KnownLogouts,
  options: JudgeOptions,
): Judgement {
  if (token.subject === null) {
    // Without a user, only the session and the floor can cover it.
    const verdict = judge({ ...token, subject: '' }, { ...known, user: null }, options)
    return verdict.revoked ? verdict : { revoked: null, reason: 'no_subject' }
  }
  const verdict = judge(token, known, options)
  const isFinal = verdict.revoked || verdict.reason === 'machine_token'
  return isFinal || !isLoginUnreadable(token)
    ? verdict
    : { revoked: null, reason: 'login_unreadable' }
}
