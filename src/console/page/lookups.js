import { element, showFacts, timeElement } from './elements.js'
import { readClaims } from './read-claims.js'
import { REASONS } from './reasons.js'
import { hasKey, requestWithKey } from './requests.js'

/** The text and the CSS class of each verdict. */
const VERDICTS = {
  revoked: ['Revoked', 'bad'],
  not_revoked: ['Not revoked', 'good'],
  unknown: ['Unknown', 'warn'],
}

/** Handles the forms that look up a user and explain a verdict. */
export function handleLookups() {
  handleForm('user-form', 'user-status', 'user', requestUser, showUser)
  handleForm('claims-form', 'verdict', 'explanation', requestVerdict, showVerdict)
}

/** Removes all results, which contain personal data. */
export function clearLookups() {
  for (const id of ['user', 'explanation', 'user-status', 'verdict']) element(id).replaceChildren()
  for (const id of ['user-form', 'claims-form']) element(id).reset()
}

function handleForm(formId, statusId, factsId, request, show) {
  element(formId).addEventListener('submit', async (event) => {
    event.preventDefault()
    element(factsId).replaceChildren()
    showStatus(statusId, 'Reading…')
    try {
      const result = await request()
      // The operator can discard the key during the request.
      if (hasKey()) show(result)
    } catch (error) {
      showStatus(statusId, error.message, 'bad')
    }
  })
}

function requestUser() {
  const query = new URLSearchParams({ user_id: element('user-id').value })
  const sessionId = element('session-id').value
  if (sessionId !== '') query.set('session_id', sessionId)
  return requestWithKey(`v1/last-logout?${query}`)
}

function showUser(found) {
  const isKnown = found.last_logout_at !== null
  showStatus(
    'user-status',
    isKnown ? 'The user has logged out.' : 'No logout of this user is known.',
  )
  const { session } = found
  showFacts('user', {
    user: found.user_id,
    'last logout': timeOrNone(found.last_logout_at),
    'all sessions': timeOrNone(found.all_sessions_at),
    ...(session && { session: session.ended ? 'ended' : 'not ended' }),
    ...(session && { 'session logout': timeOrNone(session.logout_at) }),
    floor: timeOrNone(found.floor_at),
    'read up to': timeOrNone(found.as_of),
    complete: found.complete ? 'yes' : 'no: earlier logouts can be missing',
  })
}

function requestVerdict() {
  const namespace = element('namespace').value
  return requestWithKey('console/data/explain', {
    claims: readPasted(element('claims').value),
    ...(namespace !== '' && { namespace }),
  })
}

function showVerdict(explanation) {
  const { verdict, reason, logouts, session_id, login_at, decided_by } = explanation
  const [title, className] = VERDICTS[verdict]
  showStatus('verdict', `${title}: ${REASONS[reason] ?? reason}`, className)
  const logout = (name) => {
    const text = timeOrNone(logouts[name]?.at ?? null)
    return name === decided_by ? emphasized(text) : text
  }
  showFacts('explanation', {
    user: explanation.subject,
    session: session_id ?? describeAbsence(explanation.session_id_claim),
    login: login_at === null ? describeAbsence(explanation.login_at_claim) : timeElement(login_at),
    'login claim': explanation.login_at_claim,
    expires: timeOrNone(explanation.expires_at),
    'session logout': logout('session'),
    'all sessions': logout('all_sessions'),
    'last logout': logout('user'),
    floor: logout('floor'),
    policy: explanation.policy,
    'read up to': timeOrNone(explanation.as_of),
    complete: explanation.complete ? 'yes' : 'no: earlier logouts can be missing',
  })
}

/**
 * Reads claims from JSON, or from the payload of a token.
 *
 * @throws Error if the text is neither JSON nor a token.
 */
function readPasted(pasted) {
  const text = pasted.trim()
  try {
    return text.startsWith('{') ? JSON.parse(text) : readClaims(text)
  } catch {
    throw new Error(
      'This is neither JSON nor a token: paste claims such as { "sub": "auth0|123" }, or a JWT.',
    )
  }
}

function showStatus(id, text, className = '') {
  element(id).textContent = text
  element(id).classList.remove('good', 'bad', 'warn')
  if (className !== '') element(id).classList.add(className)
}

function describeAbsence(claim) {
  return claim === null ? 'no claim contains it' : `unknown: the claim ${claim} is invalid`
}

function timeOrNone(time) {
  return time === null ? 'none' : timeElement(time)
}

function emphasized(content) {
  const strong = document.createElement('strong')
  strong.append(content, ' (decisive)')
  return strong
}
