import { type JudgeOptions, judge, type KnownLogouts, type RevokedReason } from './judge.js'
import type { Token } from './token.js'

/**
 * Returns the reason of the logout that decides about a token: the newest logout that covers the token. Returns `null`
 * if no logout covers the token.
 */
export function findDecidingReason(
  token: Token,
  knownLogouts: KnownLogouts,
  options: JudgeOptions,
): RevokedReason | null {
  // A token with the earliest possible login is revoked by every logout that covers it. `judge` returns the newest.
  const verdict = judge({ ...token, loginAt: Number.NEGATIVE_INFINITY }, knownLogouts, options)
  return verdict.revoked ? verdict.reason : null
}
