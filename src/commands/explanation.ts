import { nameProgram } from '../program-name.js'
import type { CoveringLogout, Explanation } from '../rules/explanation.js'
import { escapeControls } from './escape-controls.js'

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

function describeLogout(
  { logouts, decided_by: decider }: Explanation,
  name: CoveringLogout,
): string {
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
