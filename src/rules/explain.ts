import { type JudgeOptions, judge, type KnownLogouts, type RevokedReason } from './judge.js'
import type { Token } from './token.js'

/** Returns the reason of the newest logout that covers a token, which decides; `null`: no logout covers the token. */
export function findDecidingReason(
  token: Token,
  knownLogouts: KnownLogouts,
  options: JudgeOptions,
): RevokedReason | null {
  // Every covering logout revokes a token with the earliest possible login, so `judge` returns the newest of these logouts.
  const verdict = judge({ ...token, loginAt: Number.NEGATIVE_INFINITY }, knownLogouts, options)
  return verdict.revoked ? verdict.reason : null
}
