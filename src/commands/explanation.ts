import { decidedBy } from '../rules/explain.js'
import { lagOf } from '../rules/freshness.js'
import { type Instant, toDateTime } from '../rules/instant.js'
import type { Policy, RevokedReason } from '../rules/judge.js'
import { type Judgement, judgeClaims } from '../rules/judge-claims.js'
import type { Known } from '../rules/known.js'
import type { ClaimedToken } from '../rules/token.js'
import { printable } from './printable.js'

/** What an explanation is made of. */
export interface ExplanationFacts {
  token: ClaimedToken
  expiresAt: Instant | null
  known: Known
  policy: Policy
}

/** What `explain` prints as JSON. */
export type Explanation = ReturnType<typeof toExplanation>

type Logout = 'session' | 'all_sessions' | 'user' | 'floor'

/** Older than this, nothing is known: `maxStalenessMs` of the client, unless configured otherwise. */
const MAX_STALENESS_MS = 300_000

/** Which of the stored logouts a reason speaks of. */
const LOGOUTS: Record<RevokedReason, Logout | null> = {
  session_ended: 'session',
  session_logout: 'session',
  all_sessions_logout: 'all_sessions',
  user_logout: 'user',
  floor: 'floor',
  login_unknown: null,
}

/** Judges a token, and says by what. */
export function toExplanation({ token, expiresAt, known, policy }: ExplanationFacts) {
  const judged = judgeClaims(token, known, { policy })
  const { revoked, reason } = judged
  const decider = decidedBy(token, known, { policy })
  const { user, session, floorAt, asOf, now } = known
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
    decided_by: decider && LOGOUTS[decider],
    verdict: toVerdict(judged, lagMs),
    revoked,
    reason,
    as_of: toDateTime(asOf),
    lag_ms: lagMs,
    complete: known.complete,
  }
}

/** What revokes a token counts however old it is, and nothing can revoke a machine token. */
function toVerdict(
  { revoked, reason }: Judgement,
  lagMs: number | null,
): 'revoked' | 'not_revoked' | 'unknown' {
  if (revoked !== false) return revoked ? 'revoked' : 'unknown'
  if (reason === 'machine_token') return 'not_revoked'
  return lagMs === null || lagMs > MAX_STALENESS_MS ? 'unknown' : 'not_revoked'
}

/** Where a stored instant comes from; `null`: from no entry, or from one that is not kept. */
type Origin = { logId: string; type: string } | null

function toLogout(at: Instant, origin: Origin) {
  return { at: toDateTime(at), log_id: origin?.logId || null, type: origin?.type ?? null }
}

/** The entry is kept of a user's newest logout only, which may be a later one of a single session. */
function toAllSessions(user: Known['user']) {
  if (!user || user.allSessionsAt === null) return null
  return toLogout(user.allSessionsAt, user.allSessionsAt === user.at ? user : null)
}

/** An explanation for the eye. */
export function toText(explanation: Explanation): string {
  const { session_id: sessionId, login_at: loginAt, logouts } = explanation
  const rows: [string, string][] = [
    ['subject', printable(explanation.subject)],
    ['session', describeFact(sessionId, explanation.session_id_claim, 'the token names none')],
    ['  from claim', explanation.session_id_claim ?? '-'],
    ['login', describeFact(loginAt, explanation.login_at_claim, 'the token does not say')],
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
    ['fresh as of', describeFreshness(explanation)],
    ['signature', 'not verified: all this is true only if the token is genuine'],
  ]
  return rows.map(([name, value]) => `${name.padEnd(15)} ${value}\n`).join('')
}

/** A fact of the token; where there is none, whether its claim is absent or unreadable. */
function describeFact(fact: string | null, claim: string | null, absent: string): string {
  if (fact !== null) return printable(fact)
  return claim === null ? absent : 'unknown: the claim cannot be read'
}

function describeExpiry({ expires_at: expiresAt, expired }: Explanation): string {
  if (expiresAt === null) return 'the token does not say'
  return expired ? `${expiresAt}: it has expired, and is refused for that alone` : expiresAt
}

/** The service may run with another one. */
function describePolicy({ policy, session_id: sessionId }: Explanation): string {
  const from = `${policy} (from this environment)`
  if (policy === 'user') return `${from}: any logout of the user counts`
  return sessionId === null
    ? `${from}: but without a session, any logout of the user counts`
    : `${from}: logouts of this session and of all sessions count`
}

function describeVerdict(explanation: Explanation): string {
  const { verdict } = explanation
  switch (verdict) {
    case 'revoked':
      return 'revoked'
    case 'not_revoked':
      return 'not revoked'
    case 'unknown':
      return `unknown: not revoked by what is known, but ${describeDoubt(explanation)}`
    default:
      return verdict satisfies never
  }
}

function describeDoubt({ revoked, as_of: asOf, lag_ms: lagMs }: Explanation): string {
  if (revoked === null) return 'a claim cannot be read'
  if (asOf === null) return 'the log has not been read to its end yet'
  return lagMs === null ? 'the age of that is not known' : 'that is more than 5 minutes old'
}

function describeLogout({ logouts, decided_by: decider }: Explanation, name: Logout): string {
  const logout = logouts[name]
  if (logout === null) return name === 'floor' ? 'none' : 'no logout known'
  const { at, log_id: logId, type } = logout
  const entry =
    type === null ? 'its entry is not kept' : printable([type, logId ?? []].flat().join(' '))
  return `${at}${name === 'floor' ? '' : `, ${entry}`}${name === decider ? '  <- decides' : ''}`
}

function describeReason({ reason, login_at: loginAt, decided_by, logouts }: Explanation): string {
  const at = decided_by && logouts[decided_by]?.at
  switch (reason) {
    case 'session_ended':
      return 'session_ended: Auth0 has ended the session that it names, whatever its times'
    case 'login_unknown':
      return 'login_unknown: a logout covers it, and it does not say when its login was'
    case 'no_subject':
    case 'login_unreadable':
      return `${reason}: no logout that covers it is known, and a claim cannot be read`
    case 'no_logout':
      return 'no_logout: no logout that covers it is known'
    case 'machine_token':
      return "machine_token: it is an application's own, which cannot log out"
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
  if (asOf === null) return 'never: the log has not been read to its end yet'
  if (lagMs === null)
    return `${asOf}, ahead of the clock of the database: one of the clocks is wrong`
  const note = complete ? '' : '; logouts from before may be missing (see last-logout status)'
  return `${asOf}, ${lagMs} ms ago${note}`
}
