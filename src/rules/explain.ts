import { type JudgeOptions, judge, type KnownLogouts, type RevokedReason } from './judge.js'
import type { Token } from './token.js'

/** Returns the reason of the newest covering logout, which decides; `null`: no logout covers the token. */
export function findDecidingReason(
  token: Token,
  knownLogouts: KnownLogouts,
  options: JudgeOptions,
): RevokedReason | null {
  // With the earliest possible login, every covering logout revokes the token, and `judge` returns the newest one.
  const verdict = judge({ ...token, loginAt: Number.NEGATIVE_INFINITY }, knownLogouts, options)
  return verdict.revoked ? verdict.reason : null
}
