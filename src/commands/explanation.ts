import { nameProgram } from '../program-name.js'
import { findDecidingReason } from '../rules/explain.js'
import { DEFAULT_MAX_STALENESS_MS, lagOf } from '../rules/freshness.js'
import { type Instant, toDateTime } from '../rules/instant.js'
import type { Policy, RevokedReason } from '../rules/judge.js'
import { type Judgement, judgeClaims } from '../rules/judge-claims.js'
import type { LogoutSnapshot } from '../rules/logout-snapshot.js'
import type { TokenWithClaimNames } from '../rules/token.js'
import { escapeControls } from './escape-controls.js'

/** The facts that an explanation is derived from. */
export interface ExplanationFacts {
  token: TokenWithClaimNames
  expiresAt: Instant | null
  snapshot: LogoutSnapshot
  policy: Policy
}

/** The JSON output of `explain`. */
export type Explanation = ReturnType<typeof toExplanation>

type Logout = 'session' | 'all_sessions' | 'user' | 'floor'

/** The stored logout that each reason refers to. */
const LOGOUTS: Record<RevokedReason, Logout | null> = {
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
    signature_verified: false,
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

/** Formats an explanation as text. `programName` is the program's name in the commands of the text. */
export function toText(explanation: Explanation, programName: string): string {
  const { session_id: sessionId, login_at: loginAt, logouts } = explanation
  const rows: [string, string][] = [
    ['subject', escapeControls(explanation.subject)],
    ['session', describeFact(sessionId, explanation.session_id_claim, 'no claim contains one')],
    ['  from claim', explanation.session_id_claim ?? '-'],
    ['login', describeFact(loginAt, explanation.login_at_claim, 'no claim contains it')],
    ['  from claim', explanation.login_at_claim ?? '-'],
    ['expires', describeExpiry(explanation)],
    ['policy', describePolicy(explanation)],
    ['floor', describeLogout(explanation, 'floor')],
    ['last logout', describeLogout(explanation, 'user')],
    ['all sessions', describeLogout(explanation, 'all_sessions')],
    [
      'session logout',
      describeLogout(explanation, 'session') + (logouts.session?.ended ? ', session ended' : ''),
    ],
    ['verdict', describeVerdict(explanation)],
    ['  because', describeReason(explanation)],
    ['fresh as of', nameProgram(describeFreshness(explanation), programName)],
    ['signature', 'not verified: the explanation applies only if the token is authentic'],
  ]
  return rows.map(([name, value]) => `${name.padEnd(15)} ${value}\n`).join('')
}

/** Describes a fact that is read from a claim. The claim can be absent or invalid. */
function describeFact(fact: string | null, claim: string | null, absent: string): string {
  if (fact !== null) return escapeControls(fact)
  return claim === null ? absent : 'unknown: the claim is invalid'
}

function describeExpiry({ expires_at: expiresAt, expired }: Explanation): string {
  if (expiresAt === null) return 'no valid exp claim'
  return expired ? `${expiresAt}: expired, and rejected for that reason alone` : expiresAt
}

/** Describes the policy of this environment. The service can run with another policy. */
function describePolicy({ policy, session_id: sessionId }: Explanation): string {
  const from = `${policy} (from this environment)`
  if (policy === 'user') return `${from}: any logout of the user applies`
  return sessionId === null
    ? `${from}: any logout of the user applies, since the token has no session`
    : `${from}: logouts of this session and of all sessions apply`
}

function describeVerdict(explanation: Explanation): string {
  const { verdict } = explanation
  switch (verdict) {
    case 'revoked':
      return 'revoked'
    case 'not_revoked':
      return 'not revoked'
    case 'unknown':
      return `unknown: no known logout revokes the token, but ${describeDoubt(explanation)}`
    default:
      return verdict satisfies never
  }
}

function describeDoubt({ revoked, as_of: asOf, lag_ms: lagMs }: Explanation): string {
  if (revoked === null) return 'a claim is invalid'
  if (asOf === null) return 'the first catch-up is not complete'
  return lagMs === null ? 'the age of the data is unknown' : 'the data is more than 5 minutes old'
}

function describeLogout({ logouts, decided_by: decider }: Explanation, name: Logout): string {
  const logout = logouts[name]
  if (logout === null) return name === 'floor' ? 'none' : 'no logout known'
  const { at, log_id: logId, type } = logout
  const entry =
    type === null ? 'log entry not stored' : escapeControls([type, logId ?? []].flat().join(' '))
  return `${at}${name === 'floor' ? '' : `, ${entry}`}${name === decider ? '  <- decisive' : ''}`
}

function describeReason({ reason, login_at: loginAt, decided_by, logouts }: Explanation): string {
  const at = decided_by && logouts[decided_by]?.at
  switch (reason) {
    case 'session_ended':
      return 'session_ended: Auth0 has ended the session of the token'
    case 'login_unknown':
      return 'login_unknown: a logout applies to the token, and no claim contains the time of the login'
    case 'no_subject':
    case 'login_unreadable':
      return `${reason}: no known logout applies to the token, and a claim is invalid`
    case 'no_logout':
      return 'no_logout: no known logout applies to the token'
    case 'machine_token':
      return 'machine_token: the token belongs to an application, which does not log out'
    case 'login_after_logout':
      return `login_after_logout: the login at ${loginAt} is after ${at}`
    case 'session_logout':
    case 'all_sessions_logout':
    case 'user_logout':
    case 'floor':
      return `${reason}: the login at ${loginAt} is not after ${at}`
    default:
      return reason satisfies never
  }
}

function describeFreshness({ as_of: asOf, lag_ms: lagMs, complete }: Explanation): string {
  if (asOf === null) return 'never: the first catch-up is not complete'
  if (lagMs === null)
    return `${asOf}, ahead of the clock of the database: one of the clocks is wrong`
  const note = complete ? '' : '; earlier logouts can be missing (see `last-logout status`)'
  return `${asOf}, ${lagMs} ms ago${note}`
}
