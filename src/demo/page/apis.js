import { element, formatTime } from './elements.js'
import { readClaims } from './read-claims.js'
import { settings } from './settings.js'
import { endOf, recordEnd, run, tokens, updateRun } from './stored.js'
import { setState, showUnavailable, timeAfter } from './uses.js'

/** Two APIs that verify the same token. Only the second API uses last-logout. */
const PATHS = { without: 'api-without/orders', with: 'api/orders' }

/** Returns the header that carries the access token. */
export function bearerHeader() {
  return { authorization: `Bearer ${tokens.get().access_token}` }
}

/** Returns a command that calls the API with last-logout. */
export function toCurl() {
  const url = new URL(PATHS.with, location.href).href
  return `curl -i -H 'Authorization: ${bearerHeader().authorization}' '${url}'`
}

/**
 * Calls both APIs and the API behind nginx with the token, shows the responses, and records a refusal. `isRefused` is
 * whether the API with last-logout refuses the token for the first time.
 */
export async function callApis() {
  const token = tokens.get().access_token
  const [nginxStatus, ...responses] = await Promise.all([
    callBehindNginx(),
    call('without'),
    call('with'),
  ])
  // The user has logged in again in the meantime.
  if (tokens.get()?.access_token !== token) return null
  const [withoutResponse, withResponse] = responses
  updateRun({ isCalled: true })
  const isRefused = showStatus('rest', withResponse.status)
  if (nginxStatus !== null) showStatus('nginx', nginxStatus)
  showBoth(responses)
  return { without: withoutResponse, with: withResponse, isRefused }
}

/** Shows the status of a response, and records a refusal. Returns whether this is the first refusal. */
function showStatus(use, status) {
  setState(use, `${status}`)
  return status === 401 && recordEnd(use, '401')
}

/** Returns the status of the response, or the reason why there is no response; `null`: there is no nginx. */
async function callBehindNginx() {
  const { url } = settings.nginx
  if (url === undefined) return null
  try {
    const { status } = await fetch(url, { headers: bearerHeader() })
    return status
  } catch {
    // A 503 of nginx also ends here, because this response does not permit the page to read it.
    return 'no response that this page may read'
  }
}

async function call(name) {
  const response = await fetch(PATHS[name], { headers: bearerHeader() })
  const { error, error_description, orders } = await response.json()
  const text = error ? `${error}: ${error_description}` : `orders ${orders.join(', ')}`
  return { ok: response.ok, status: response.status, error, text }
}

function showBoth([withoutResponse, withResponse]) {
  const { loggedOutAt } = run.get()
  const until = formatTime(readClaims(tokens.get().access_token).exp * 1000)
  const isLate = loggedOutAt !== undefined || endOf('rest') !== undefined
  show('without', withoutResponse.status, {
    text: withoutResponse.ok
      ? `${isLate ? 'Still accepted' : 'Accepted'}, until ${until}`
      : withoutResponse.text,
    className: isLate ? 'bad' : 'good',
  })
  show('with', withResponse.status, describeProtected(withResponse, loggedOutAt))
}

/** Describes the response of the API with last-logout. An acceptance after the logout is a warning. */
function describeProtected({ ok, status, text }, loggedOutAt) {
  if (ok && loggedOutAt === undefined)
    return { text: 'Accepted, until a logout', className: 'good' }
  if (ok) return { text: 'Accepted: the logout is not known yet', className: 'warn' }
  // This is no refusal. The API does not know the state of the token, for example because last-logout does not respond.
  if (status !== 401) return { text, className: 'warn' }
  return { text: `Refused${timeAfter(' ', endOf('rest').at)}`, className: 'good' }
}

/** Shows that the APIs have not been called with the current token. */
export function resetBoth() {
  for (const name of ['without', 'with']) show(name, '–', { text: 'Not called yet', className: '' })
  setState('rest', 'Not called yet')
  const { problem } = settings.nginx
  if (problem === undefined) setState('nginx', 'Not called yet')
  else showUnavailable('nginx', problem)
}

function show(name, status, { text, className }) {
  element(`${name}-status`).textContent = status
  element(`${name}-status`).className = `status ${className}`
  element(`${name}-text`).textContent = text
}
