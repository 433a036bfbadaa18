import { type JudgeOptions, judge, type KnownLogouts, type RevokedReason } from './judge.js'
import type { Token } from './token.js'

/** The logout that decides whether a token is revoked; `null`: no logout covers it. */
export function decidedBy(
  token: Token,
  known: KnownLogouts,
  options: JudgeOptions,
): RevokedReason | null {
  // With the earliest possible login, the token is revoked by the logout that decides.
  const verdict = judge({ ...token, loginAt: Number.NEGATIVE_INFINITY }, known, options)
  return verdict.revoked ? verdict.reason : null
}
