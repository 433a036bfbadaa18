import { type JudgeOptions, judge, type KnownLogouts, type RevokedReason } from './judge.js'
import type { Token } from './token.js'

/** The logout that decides whether a token is revoked; `null`: no logout covers it. */
export function decidedBy(
  token: Token,
  known: KnownLogouts,
  options: JudgeOptions,
): RevokedReason | null {
  // A token with the earliest possible login is revoked by any logout that covers it, so `judge` returns the logout
  // that decides.
  const verdict = judge({ ...token, loginAt: Number.NEGATIVE_INFINITY }, known, options)
  return verdict.revoked ? verdict.reason : null
}
