import { DEFAULT_MAX_STALENESS_MS, lagOf } from './freshness.js'
import type { Policy } from './judge.js'
import { judgeClaims } from './judge-claims.js'
import type { LogoutSnapshot } from './logout-snapshot.js'
import type { TokenWithClaimNames } from './token.js'

/** Whether a resource server may accept a token. `unknown`: the known logouts are stale, or the login is unreadable. */
export type TokenStatus = 'active' | 'revoked' | 'unknown'

/**
 * Determines the status of a verified token. A stale snapshot can show that a token is revoked, but not that it is
 * active.
 */
export function determineStatus(
  token: TokenWithClaimNames,
  snapshot: LogoutSnapshot,
  policy: Policy,
): TokenStatus {
  const { revoked } = judgeClaims(token, snapshot, { policy })
  if (revoked === true) return 'revoked'
  const lagMs = lagOf(snapshot.asOf, snapshot.now)
  const isStale = lagMs === null || lagMs > DEFAULT_MAX_STALENESS_MS
  return revoked === null || isStale ? 'unknown' : 'active'
}
