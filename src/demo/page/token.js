import { bearerHeader } from './apis.js'
import { element, formatTime, showFacts, timeElement } from './elements.js'
import { readClaims } from './read-claims.js'
import { REASONS } from './reasons.js'
import { tokens } from './stored.js'

const CLAIM = 'https://last-logout/'

/** Shows the claims of the token. */
export function showToken() {
  const stored = tokens.get()
  element('token-actions').hidden = stored === null
  element('encoded-token').textContent = stored?.access_token ?? ''
  if (stored === null) {
    showVerdict('No token: log in.', '')
    element('why').textContent = ''
    for (const id of ['token', 'known']) element(id).replaceChildren()
    return
  }
  const claims = readClaims(stored.access_token)
  showFacts('token', {
    user: claims.sub,
    session: claims[`${CLAIM}session_id`],
    'issued at': timeOf(claims.iat),
    'login at': timeOf(claims[`${CLAIM}authenticated_at`]),
    'last logout before': timeOf(claims[`${CLAIM}last_logout`]),
    'expires at': timeOf(claims.exp),
  })
}

/**
 * Shows what last-logout knows about the user, and whether last-logout accepts the token. Returns false if another run
 * of the demo has issued the token.
 */
export async function showState({ enterprise }) {
  if (tokens.get() === null) return true
  const response = await fetch('known', { headers: bearerHeader() })
  if (response.status === 401) return false
  if (!response.ok) return true
  const { lastLogout, check } = await response.json()
  const { revoked, reason } = check
  showVerdict(revoked ? 'Refused' : 'Accepted', revoked ? 'bad' : 'good')
  element('why').textContent = `${reason}: ${REASONS[reason] ?? ''}`
  showFacts('known', {
    'last logout': timeOrNull(lastLogout.last_logout_at),
    'all sessions': timeOrNull(lastLogout.all_sessions_at),
    'your session': stateOf(lastLogout.session),
    policy: lastLogout.policy,
    plan: enterprise ? 'Enterprise' : 'without Enterprise fields',
  })
  return true
}

function showVerdict(verdict, className) {
  element('verdict').textContent = verdict
  element('verdict').className = `verdict ${className}`
}

function stateOf(session) {
  if (session === null) return 'none in the token'
  if (session.logout_at === null) return 'no logout known'
  return `${session.ended ? 'ended' : 'logged out'} at ${formatTime(session.logout_at)}`
}

function timeOf(numericDate) {
  return numericDate === undefined ? null : timeElement(numericDate * 1000)
}

function timeOrNull(time) {
  return time === null ? null : timeElement(time)
}
