import { nameProgram } from '../program-name.js'
import type { CoveringLogout, Explanation } from '../rules/explanation.js'
import { escapeControls } from './escape-controls.js'

/** Formats an explanation as text. The commands in the text begin with `programName`. */
export function toText(explanation: Explanation, programName: string): string {
  const { session_id: sessionId, login_at: loginAt, logouts } = explanation
  const rows: [string, string][] = [
    ['subject', escapeControls(explanation.subject)],
    ['session', describeValue(sessionId, explanation.session_id_claim, 'no claim contains one')],
    ['  from claim', explanation.session_id_claim ?? '-'],
    ['login', describeValue(loginAt, explanation.login_at_claim, 'no claim contains it')],
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

/**
 * Describes a value that was read from a claim.
 *
 * @param claim The name of the claim; `null` if the token has no such claim.
 * @param absentText The description if the token has no such claim.
 */
function describeValue(value: string | null, claim: string | null, absentText: string): string {
  if (value !== null) return escapeControls(value)
  return claim === null ? absentText : 'unknown: the claim is invalid'
}

function describeExpiry({ expires_at: expiresAt, expired }: Explanation): string {
  if (expiresAt === null) return 'no valid exp claim'
  return expired ? `${expiresAt}: expired, and rejected for that reason alone` : expiresAt
}

/** Describes the policy in the environment of this command. The service can run with another policy. */
function describePolicy({ policy, session_id: sessionId }: Explanation): string {
  const name = `${policy} (from this environment)`
  if (policy === 'user') return `${name}: any logout of the user applies`
  return sessionId === null
    ? `${name}: any logout of the user applies, since the token has no session`
    : `${name}: logouts of this session and of all sessions apply`
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
  { logouts, decided_by: decidedBy }: Explanation,
  name: CoveringLogout,
): string {
  const logout = logouts[name]
  if (logout === null) return name === 'floor' ? 'none' : 'no logout known'
  const { at, log_id: logId, type } = logout
  const entry =
    type === null ? 'log entry not stored' : escapeControls([type, logId ?? []].flat().join(' '))
  return `${at}${name === 'floor' ? '' : `, ${entry}`}${name === decidedBy ? '  <- decisive' : ''}`
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
