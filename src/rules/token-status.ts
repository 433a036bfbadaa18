import { DEFAULT_MAX_STALENESS_MS, lagOf } from './freshness.js'
import type { Policy } from './judge.js'
import { judgeClaims } from './judge-claims.js'
import type { LogoutSnapshot } from './logout-snapshot.js'
import type { TokenWithClaimNames } from './token.js'

/** Whether a resource server may accept the verified token of a user. */
export type TokenStatus = 'active' | 'revoked' | 'unknown'

/**
 * Determines the status of the verified token of a user by R7. If the snapshot is stale, a token that is not revoked by it is
 * `unknown`, and so is a token whose login cannot be read.
 */
export function determineStatus(
  token: TokenWithClaimNames,
  snapshot: LogoutSnapshot,
  policy: Policy,
): TokenStatus {
  const judged = judgeClaims(token, snapshot, { policy })
  if (judged.revoked === true) return 'revoked'
  const lagMs = lagOf(snapshot.asOf, snapshot.now)
  const isStale = lagMs === null || lagMs > DEFAULT_MAX_STALENESS_MS
  return judged.revoked === null || isStale ? 'unknown' : 'active'
}
