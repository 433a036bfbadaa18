import { clock, element, list, prepend, store } from './elements.js'
import { readClaims, startLogin, startLogout, takeCallback, tokenRequest } from './login.js'

const CLAIM = 'https://last-logout/'

/** The text of each reason. */
const REASONS = {
  session_ended: 'The session of the token was logged out.',
  session_logout: 'The login of the token is not after the logout of its session.',
  all_sessions_logout: 'The login of the token is not after a logout of all sessions of the user.',
  user_logout: 'The login of the token is not after the last logout of the user.',
  floor: 'The login of the token is not after the floor, which applies to all users.',
  login_unknown: 'There was a logout, and the token does not contain the time of its login.',
  no_logout: 'No known logout applies to the token.',
  login_after_logout: 'The login of the token is after the last logout that applies to it.',
}

/** What to do after each error. */
const ADVICE = {
  invalid_token: 'The API rejected the token: log in again.',
  access_denied:
    'The login Action denied the exchange: log in again, with prompt=login and no cached token.',
  login_required: 'This browser has no session: log in.',
  invalid_grant: 'The tenant does not know this refresh token: log in again.',
}

const settings = await (await fetch('settings.json')).json()
const tokens = store('tokens', null)
const responses = store('responses', [])

element('login').onclick = () => startLogin(settings, 'login')
element('silent').onclick = () => startLogin(settings, 'none')
element('call').onclick = () => attempt('API', callApi)
element('refresh').onclick = () => attempt('refresh', refreshToken)
element('logout').onclick = () => startLogout(settings, tokens.get().id_token)

for (const response of responses.get()) showResponse(response)
await attempt('login', handleCallback)
showToken()
subscribeToFeed()
setInterval(showFreshness, 250)

/** Runs an action of the user. If the action fails, shows advice: the demo may have stopped. */
async function attempt(what, run) {
  try {
    await run()
  } catch {
    report(what, false, 'no response', 'No response: check that the demo is running.')
  }
}

async function handleCallback() {
  const callback = takeCallback()
  if (callback === null) return
  const { kind, error, code, verifier } = callback
  if (kind === 'logout') {
    const advice =
      'Logged out. The page keeps the token: call the API until the worker has read the log and the API rejects the token.'
    return report('logout', true, 'the session at the tenant has ended', advice)
  }
  if (error !== null) return report(kind, false, error, adviceFor(error))
  const { ok, body } = await tokenRequest(settings, {
    grant_type: 'authorization_code',
    code,
    code_verifier: verifier,
    redirect_uri: `${location.origin}/`,
  })
  if (ok) tokens.set(body)
  report(kind, ok, ok ? 'a new token' : body.error, adviceFor(body.error))
}

async function callApi() {
  const response = await fetch('api/orders', { headers: bearer() })
  const { error, error_description, orders } = await response.json()
  const result = error ? `${error}: ${error_description}` : `orders ${orders.join(', ')}`
  report('API', response.ok, `${response.status} ${result}`, adviceFor(error))
}

async function refreshToken() {
  const { refresh_token } = tokens.get()
  const { ok, body } = await tokenRequest(settings, { grant_type: 'refresh_token', refresh_token })
  if (ok) tokens.set({ ...tokens.get(), ...body })
  const result = ok ? 'a new token' : `${body.error}: ${body.error_description}`
  report('refresh', ok, result, adviceFor(body.error))
  showToken()
}

function adviceFor(error) {
  return error ? (ADVICE[error] ?? `The error was ${error}.`) : ''
}

function bearer() {
  return { authorization: `Bearer ${tokens.get().access_token}` }
}

/** Shows the result of an action, with advice after a failure. */
function report(what, ok, result, advice) {
  const response = { at: Date.now(), ok, message: `${what}: ${result}` }
  responses.set([...responses.get(), response].slice(-50))
  showResponse(response)
  element('notice').hidden = advice === ''
  element('notice').textContent = advice
  element('notice').classList.toggle('bad', !ok)
}

function showResponse({ at, ok, message }) {
  prepend('responses', at, message, ok ? 'good' : 'bad')
}

function showToken() {
  const stored = tokens.get()
  for (const id of ['call', 'refresh', 'logout']) element(id).disabled = stored === null
  element('login').classList.toggle('primary', stored === null)
  element('call').classList.toggle('primary', stored !== null)
  element('encoded').hidden = stored === null
  element('encoded-token').textContent = stored?.access_token ?? ''
  if (stored === null) return
  const claims = readClaims(stored.access_token)
  list('token', {
    user: claims.sub,
    session: claims[`${CLAIM}session_id`],
    'issued at': timeOf(claims.iat),
    'login at': timeOf(claims[`${CLAIM}authenticated_at`]),
    'last logout before': timeOf(claims[`${CLAIM}last_logout`]),
    'expires at': timeOf(claims.exp),
  })
  showKnown()
}

async function showKnown() {
  if (tokens.get() === null) return
  const response = await fetch('known', { headers: bearer() })
  if (response.status === 401) return forget()
  if (!response.ok) return
  const { lastLogout, check } = await response.json()
  const { revoked, reason } = check
  showVerdict(revoked ? 'Rejected' : 'Accepted', revoked ? 'bad' : 'good')
  element('why').textContent = `${REASONS[reason] ?? ''} (${reason})`
  list('known', {
    'last logout': clock(lastLogout.last_logout_at),
    'all sessions': clock(lastLogout.all_sessions_at),
    'your session': stateOf(lastLogout.session),
    policy: lastLogout.policy,
    plan: settings.enterprise ? 'Enterprise' : 'without Enterprise fields',
  })
}

/** Discards a token that another run of the demo has issued. */
function forget() {
  tokens.set(null)
  showVerdict('The token is from another run of the demo: log in.', '')
  for (const id of ['token', 'known']) list(id, {})
  showToken()
}

function showVerdict(verdict, className) {
  element('verdict').textContent = verdict
  element('verdict').className = `verdict ${className}`
}

function stateOf(session) {
  if (session === null) return 'none in the token'
  return session.ended ? `ended at ${clock(session.logout_at)}` : 'no logout known'
}

let freshness = null

function subscribeToFeed() {
  const feed = new EventSource('feed')
  feed.addEventListener('change', ({ data }) => showChange(JSON.parse(data)))
  feed.addEventListener('freshness', ({ data }) => {
    const { as_of, lag_ms } = JSON.parse(data)
    const receivedAt = performance.now()
    freshness = { asOf: as_of, ageMs: () => lag_ms + performance.now() - receivedAt }
    showKnown().catch(() => {})
  })
}

function showFreshness() {
  const age = freshness === null ? null : freshness.ageMs() / 1000
  const isLive = age !== null && age < 10
  element('freshness').classList.toggle('live', isLive)
  if (age === null) return
  const hint = isLive ? '' : ': check that the demo is running'
  element('freshness').textContent =
    `Log read up to ${clock(freshness.asOf)}, ${age.toFixed(1)} s ago${hint}`
}

function showChange(change) {
  const { kind, at, user_id, session_id, ended } = change
  const what = {
    user: () => `${user_id} logged out`,
    session: () => `session ${session_id.slice(0, 8)}… ${ended ? 'ended' : 'logged out'}`,
    floor: () => 'the floor was raised',
  }[kind]()
  const stored = tokens.get()
  const isOwn = stored !== null && readClaims(stored.access_token).sub === user_id
  prepend('feed', at, isOwn ? `${what} (you)` : what, isOwn ? 'own' : '')
}

function timeOf(numericDate) {
  return numericDate === undefined ? null : clock(numericDate * 1000)
}
