import { type JudgeOptions, judge, type KnownLogouts, type RevokedReason } from './judge.js'
import type { Token } from './token.js'

/** Returns the kind of the logout that decides whether a token is revoked; `null`: no logout covers the token. */
export function decidedBy(
  token: Token,
  known: KnownLogouts,
  options: JudgeOptions,
): RevokedReason | null {
  // Any covering logout revokes a token with the earliest possible login. So `judge` names the logout that decides.
  const verdict = judge({ ...token, loginAt: Number.NEGATIVE_INFINITY }, known, options)
  return verdict.revoked ? verdict.reason : null
}
