import { element, formatTime } from './elements.js'
import { readClaims } from './read-claims.js'
import { endOf, recordEnd, run, tokens, updateRun } from './stored.js'
import { setState, timeAfter } from './uses.js'

/** Two APIs that verify the same token. Only the second one uses last-logout. */
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

/** Calls both APIs with the token, shows their responses, and records a refusal. */
export async function callBoth() {
  const token = tokens.get().access_token
  const responses = await Promise.all([call('without'), call('with')])
  // The user has logged in again in the meantime.
  if (tokens.get()?.access_token !== token) return null
  const [withoutResponse, withResponse] = responses
  const isRefused = withResponse.status === 401
  updateRun({ isCalled: true })
  setState('rest', `${withResponse.status}`)
  if (isRefused) recordEnd('rest', '401')
  showBoth(responses)
  return { without: withoutResponse, with: withResponse, isRefused }
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

/** Describes the response of the API with last-logout. A refusal after the logout is good, a late acceptance is not. */
function describeProtected({ ok, status, text }, loggedOutAt) {
  if (ok && loggedOutAt === undefined)
    return { text: 'Accepted, until a logout', className: 'good' }
  if (ok) return { text: 'Accepted: the logout is not known yet', className: 'warn' }
  // Not a refusal: the API does not know, for example because the service does not respond.
  if (status !== 401) return { text, className: 'warn' }
  return { text: `Refused${timeAfter(' ', endOf('rest').at)}`, className: 'good' }
}

/** Shows that the APIs have not been called with the current token. */
export function resetBoth() {
  for (const name of ['without', 'with']) show(name, '–', { text: 'Not called yet', className: '' })
  setState('rest', 'Not called yet')
}

function show(name, status, { text, className }) {
  element(`${name}-status`).textContent = status
  element(`${name}-status`).className = `status ${className}`
  element(`${name}-text`).textContent = text
}
