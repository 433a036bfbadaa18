import { findDecidingReason } from './explain.js'
import { DEFAULT_MAX_STALENESS_MS, lagOf } from './freshness.js'
import { type Instant, toDateTime } from './instant.js'
import type { Policy, RevokedReason } from './judge.js'
import { type Judgement, judgeClaims } from './judge-claims.js'
import type { LogoutSnapshot } from './logout-snapshot.js'
import type { TokenWithClaimNames } from './token.js'

/** The facts that an explanation is derived from. */
export interface ExplanationFacts {
  token: TokenWithClaimNames
  expiresAt: Instant | null
  snapshot: LogoutSnapshot
  policy: Policy
}

/** The JSON output of `explain`, and of the console. */
export type Explanation = ReturnType<typeof toExplanation>

/** The stored logouts that can cover a token. */
export type CoveringLogout = 'session' | 'all_sessions' | 'user' | 'floor'

/** The stored logout that each reason refers to. */
const LOGOUTS: Record<RevokedReason, CoveringLogout | null> = {
  session_ended: 'session',
  session_logout: 'session',
  all_sessions_logout: 'all_sessions',
  user_logout: 'user',
  floor: 'floor',
  login_unknown: null,
}

/** Judges a token, and explains the judgement. */
export function toExplanation({ token, expiresAt, snapshot, policy }: ExplanationFacts) {
  const judged = judgeClaims(token, snapshot, { policy })
  const { revoked, reason } = judged
  const decidingReason = findDecidingReason(token, snapshot, { policy })
  const { user, session, floorAt, asOf, now } = snapshot
  const lagMs = lagOf(asOf, now)
  const logouts = {
    session: session && { ...toLogout(session.at, session), ended: session.ended },
    all_sessions: toAllSessions(user),
    user: user && toLogout(user.at, user),
    floor: floorAt === null ? null : toLogout(floorAt, null),
  }
  return {
    signature_verified: false as const,
    subject: token.subject,
    session_id: token.sessionId,
    session_id_claim: token.sessionClaim,
    login_at: toDateTime(token.loginAt),
    login_at_claim: token.loginClaim,
    expires_at: toDateTime(expiresAt),
    expired: expiresAt !== null && expiresAt <= now,
    policy,
    logouts,
    decided_by: decidingReason && LOGOUTS[decidingReason],
    verdict: toVerdict(judged, lagMs),
    revoked,
    reason,
    as_of: toDateTime(asOf),
    lag_ms: lagMs,
    complete: snapshot.complete,
  }
}

/** Determines the verdict. It is `unknown` if no known logout revokes a user's token, and a later one may be missing. */
function toVerdict(
  { revoked, reason }: Judgement,
  lagMs: number | null,
): 'revoked' | 'not_revoked' | 'unknown' {
  if (revoked !== false) return revoked ? 'revoked' : 'unknown'
  if (reason === 'machine_token') return 'not_revoked'
  return lagMs === null || lagMs > DEFAULT_MAX_STALENESS_MS ? 'unknown' : 'not_revoked'
}

/** The log entry of a stored logout; `null`: the logout has no entry, or its entry is not stored. */
type Origin = { logId: string; type: string } | null

function toLogout(at: Instant, origin: Origin) {
  return { at: toDateTime(at), log_id: origin?.logId || null, type: origin?.type ?? null }
}

/** Only the entry of a user's newest logout is stored. That logout can be later than the last logout of all sessions. */
function toAllSessions(user: LogoutSnapshot['user']) {
  if (!user || user.allSessionsAt === null) return null
  return toLogout(user.allSessionsAt, user.allSessionsAt === user.at ? user : null)
}
