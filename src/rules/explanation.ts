import { findDecidingReason } from './explain.js'
import { DEFAULT_MAX_STALENESS_MS, lagOf } from './freshness.js'
import { type Instant, toDateTime } from './instant.js'
import type { Policy, RevokedReason } from './judge.js'
import { type Judgement, judgeClaims } from './judge-claims.js'
import type { LogoutSnapshot } from './logout-snapshot.js'
import type { TokenWithClaimNames } from './token.js'

/** The input of {@link toExplanation}. */
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
const LOGOUT_BY_REASON: Record<RevokedReason, CoveringLogout | null> = {
  session_ended: 'session',
  session_logout: 'session',
  all_sessions_logout: 'all_sessions',
  user_logout: 'user',
  floor: 'floor',
  login_unknown: null,
}

/** Judges a token. Returns the judgement with the facts that led to it. */
export function toExplanation({ token, expiresAt, snapshot, policy }: ExplanationFacts) {
  const judgement = judgeClaims(token, snapshot, { policy })
  const { revoked, reason } = judgement
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
    decided_by: decidingReason && LOGOUT_BY_REASON[decidingReason],
    verdict: toVerdict(judgement, lagMs),
    revoked,
    reason,
    as_of: toDateTime(asOf),
    lag_ms: lagMs,
    complete: snapshot.complete,
  }
}

/** Converts a judgement to a verdict. If the data is stale, a logout may be missing, so the verdict is `unknown`. */
function toVerdict(
  { revoked, reason }: Judgement,
  lagMs: number | null,
): 'revoked' | 'not_revoked' | 'unknown' {
  if (revoked !== false) return revoked ? 'revoked' : 'unknown'
  if (reason === 'machine_token') return 'not_revoked'
  return lagMs === null || lagMs > DEFAULT_MAX_STALENESS_MS ? 'unknown' : 'not_revoked'
}

/** The log entry of a logout; `null`: the logout has no entry, or the database does not name the entry. */
type Origin = { logId: string; type: string } | null

function toLogout(at: Instant, origin: Origin) {
  return { at: toDateTime(at), log_id: origin?.logId || null, type: origin?.type ?? null }
}

/** Describes the last logout of all sessions. The row of a user names an entry only for the user's newest logout. */
function toAllSessions(user: LogoutSnapshot['user']) {
  if (!user || user.allSessionsAt === null) return null
  return toLogout(user.allSessionsAt, user.allSessionsAt === user.at ? user : null)
}
