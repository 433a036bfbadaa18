import { clock, element, list, prepend, store } from './elements.js'
import { readClaims, startLogin, startLogout, takeCallback, tokenRequest } from './login.js'

const CLAIM = 'https://last-logout/'

/** What a reason means, in the words of a person. */
const REASONS = {
  session_ended: 'Its session was logged out, and a session never comes back.',
  session_logout: 'Its login is from before the logout of its session.',
  all_sessions_logout: 'Its login is from before a logout of all of the user’s sessions.',
  user_logout: 'Its login is from before the user’s last logout.',
  floor: 'Its login is from before the time before which no token counts.',
  login_unknown: 'Nothing tells when its login happened, and there was a logout.',
  no_logout: 'No logout that covers it is known.',
  login_after_logout: 'Its login happened after the last logout that covers it.',
}

/** What an application does then. */
const ADVICE = {
  invalid_token: 'The API refused the token: log in again.',
  access_denied:
    'The login Action refused the exchange: log in again, with prompt=login and no cached token.',
  login_required: 'No session is live in this browser: log in.',
  invalid_grant: 'The tenant does not know this refresh token: log in again.',
}

const settings = await (await fetch('settings.json')).json()
const tokens = store('tokens', null)
const answers = store('answers', [])

element('login').onclick = () => startLogin(settings, 'login')
element('silent').onclick = () => startLogin(settings, 'none')
element('call').onclick = () => attempt('API', callApi)
element('refresh').onclick = () => attempt('refresh', refreshToken)
element('logout').onclick = () => startLogout(settings, tokens.get().id_token)

for (const answer of answers.get()) showAnswer(answer)
await attempt('login', comeBack)
showToken()
followFeed()
setInterval(showFreshness, 250)

/** Whatever fails in between is told: the demo may have ended. */
async function attempt(what, run) {
  try {
    await run()
  } catch {
    answered(what, false, 'nobody answers', 'Nobody answers: is the demo still running?')
  }
}

async function comeBack() {
  const callback = takeCallback()
  if (callback === null) return
  const { kind, error, code, verifier } = callback
  if (kind === 'logout') {
    const advice =
      'Logged out, and the token is kept: call the API until it is refused, when the worker has read the log.'
    return answered('logout', true, 'the session has ended at the tenant', advice)
  }
  if (error !== null) return answered(kind, false, error, adviceFor(error))
  const { ok, body } = await tokenRequest(settings, {
    grant_type: 'authorization_code',
    code,
    code_verifier: verifier,
    redirect_uri: `${location.origin}/`,
  })
  if (ok) tokens.set(body)
  answered(kind, ok, ok ? 'a new token' : body.error, adviceFor(body.error))
}

async function callApi() {
  const response = await fetch('api/orders', { headers: bearer() })
  const { error, error_description, orders } = await response.json()
  const said = error ? `${error}: ${error_description}` : `orders ${orders.join(', ')}`
  answered('API', response.ok, `${response.status} ${said}`, adviceFor(error))
}

async function refreshToken() {
  const { refresh_token } = tokens.get()
  const { ok, body } = await tokenRequest(settings, { grant_type: 'refresh_token', refresh_token })
  if (ok) tokens.set({ ...tokens.get(), ...body })
  const said = ok ? 'a new token' : `${body.error}: ${body.error_description}`
  answered('refresh', ok, said, adviceFor(body.error))
  showToken()
}

function adviceFor(error) {
  return error ? (ADVICE[error] ?? `The answer was ${error}.`) : ''
}

function bearer() {
  return { authorization: `Bearer ${tokens.get().access_token}` }
}

function answered(what, ok, said, advice) {
  const answer = { at: Date.now(), ok, said: `${what}: ${said}` }
  answers.set([...answers.get(), answer].slice(-50))
  showAnswer(answer)
  element('notice').hidden = advice === ''
  element('notice').textContent = advice
  element('notice').classList.toggle('bad', !ok)
}

function showAnswer({ at, ok, said }) {
  prepend('answers', at, said, ok ? 'good' : 'bad')
}

function showToken() {
  const held = tokens.get()
  for (const id of ['call', 'refresh', 'logout']) element(id).disabled = held === null
  element('login').classList.toggle('primary', held === null)
  element('call').classList.toggle('primary', held !== null)
  if (held === null) return
  const claims = readClaims(held.access_token)
  list('token', {
    user: claims.sub,
    session: claims[`${CLAIM}session_id`],
    'issued at': timeOf(claims.iat),
    'login counts from': timeOf(claims[`${CLAIM}authenticated_at`]),
    'last logout until then': timeOf(claims[`${CLAIM}last_logout`]),
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
  say(revoked ? 'Refused' : 'Accepted', revoked ? 'bad' : 'good')
  element('why').textContent = `${REASONS[reason] ?? ''} (${reason})`
  list('known', {
    'last logout': clock(lastLogout.last_logout_at),
    'of all sessions': clock(lastLogout.all_sessions_at),
    'your session': stateOf(lastLogout.session),
    policy: lastLogout.policy,
    plan: settings.enterprise ? 'Enterprise' : 'without Enterprise fields',
  })
}

/** A token that another run of the demo has signed. */
function forget() {
  tokens.set(null)
  say('This token is of another run of the demo: log in.', '')
  for (const id of ['token', 'known']) list(id, {})
  showToken()
}

function say(verdict, className) {
  element('verdict').textContent = verdict
  element('verdict').className = `verdict ${className}`
}

function stateOf(session) {
  if (session === null) return 'the token names none'
  return session.ended ? `ended at ${clock(session.logout_at)}` : 'not ended, as far as known'
}

let freshness = null

function followFeed() {
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
  const hint = isLive ? '' : ': is the demo still running?'
  element('freshness').textContent =
    `Log read up to ${clock(freshness.asOf)}, ${age.toFixed(1)} s ago${hint}`
}

function showChange(change) {
  const { kind, at, user_id, session_id, ended } = change
  const what = {
    user: () => `${user_id} logged out`,
    session: () => `session ${session_id.slice(0, 8)}… ${ended ? 'ended' : 'logged out'}`,
    floor: () => 'no token from before counts',
  }[kind]()
  const held = tokens.get()
  const own = held !== null && readClaims(held.access_token).sub === user_id
  prepend('feed', at, own ? `${what} (you)` : what, own ? 'own' : '')
}

function timeOf(numericDate) {
  return numericDate === undefined ? null : clock(numericDate * 1000)
}
