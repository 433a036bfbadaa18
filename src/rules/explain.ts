import { type JudgeOptions, judge, type KnownLogouts, type RevokedReason } from './judge.js'
import type { Token } from './token.js'

/** Which logout decides about a token, revoked or not; `null`: none covers it. */
export function decidedBy(
  token: Token,
  known: KnownLogouts,
  options: JudgeOptions,
): RevokedReason | null {
  // A login from before everything is revoked, by whichever logout decides.
  const verdict = judge({ ...token, loginAt: Number.NEGATIVE_INFINITY }, known, options)
  return verdict.revoked ? verdict.reason : null
}
