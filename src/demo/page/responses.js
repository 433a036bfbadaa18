import { element } from './elements.js'
import { insertLine } from './lists.js'
import { storedValue } from './stored.js'

/** The advice after each error. */
const ADVICE = {
  invalid_token: 'The API with last-logout refused the token. The next step: log in.',
  access_denied:
    'The login Action denied the exchange: log in again, with prompt=login and no cached token.',
  login_required: 'This browser has no session: log in.',
  invalid_grant: 'The tenant does not know this refresh token: log in again.',
}

const responses = storedValue('responses', [])

/** Shows the results of this browser window, also those before a reload of the page. */
export function showResponses() {
  for (const response of responses.get()) showResponse(response)
}

/** Shows and stores the result of an action, with advice after a failure. */
export function showResult(what, ok, result, advice) {
  const response = { at: Date.now(), ok, text: `${what}: ${result}` }
  responses.set([...responses.get(), response].slice(-50))
  showResponse(response)
  element('notice').textContent = advice
}

function showResponse({ at, ok, text }) {
  insertLine('responses', { at, text, className: ok ? '' : 'bad' })
}

/** Returns the advice after an error; the empty string: there was no error. */
export function adviceAfter(error) {
  return error ? (ADVICE[error] ?? `The error was ${error}.`) : ''
}
