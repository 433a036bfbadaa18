import { readClaims, startLogin, startLogout, takeCallback, tokenRequest } from './login.js'

const CLAIM = 'https://last-logout/'
const LONGEST_LIST = 50
const TIME = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  fractionalSecondDigits: 3,
})

/** What a reason means, in the words of a person. */
const REASONS = {
  session_ended: 'Its session was logged out, and a session never comes back.',
  session_logout: 'Its login is from before the logout of its session.',
  all_sessions_logout: 'Its login is from before a logout of all of the user’s sessions.',
  user_logout: 'Its login is from before the user’s last logout.',
  floor: 'Its login is from before the time before which no token counts.',
  login_unknown: 'Nothing tells when its login happened, and there was a logout.',
  no_logout: 'No logout covers it.',
  login_after_logout: 'Its login happened after the last logout that covers it.',
}

const element = (id) => document.getElementById(id)
const settings = await (await fetch('settings.json')).json()

const tokens = {
  get: () => JSON.parse(sessionStorage.getItem('tokens') ?? 'null'),
  set: (value) => sessionStorage.setItem('tokens', JSON.stringify(value)),
}

element('login').onclick = () => startLogin(settings, 'login')
element('silent').onclick = () => startLogin(settings, 'none')
element('call').onclick = callApi
element('refresh').onclick = refreshToken
element('logout').onclick = () => startLogout(settings, tokens.get().id_token)

await finishLogin()
showToken()
followFeed()
setInterval(showFreshness, 250)

async function finishLogin() {
  const callback = takeCallback()
  if (callback === null) return
  const { error, code, verifier } = callback
  if (error !== null) return answered('login', false, error, adviceFor(error))
  const { ok, body } = await tokenRequest(settings, {
    grant_type: 'authorization_code',
    code,
    code_verifier: verifier,
    redirect_uri: `${location.origin}/`,
  })
  if (!ok) return answered('login', false, body.error, adviceFor(body.error))
  tokens.set(body)
  answered('login', true, 'a new token', '')
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

/** What an application does then. */
function adviceFor(error) {
  if (error === 'invalid_token') return 'The API refused the token: log in again.'
  if (error === 'access_denied') {
    return 'The login Action refused the exchange: log in again, with prompt=login and no cached token.'
  }
  if (error === 'login_required') return 'No session is live in this browser: log in.'
  return error ? `The answer was ${error}.` : ''
}

function bearer() {
  return { authorization: `Bearer ${tokens.get().access_token}` }
}

function answered(what, ok, said, advice) {
  prepend('answers', `${what}: ${said}`, ok ? 'good' : 'bad')
  element('notice').hidden = advice === ''
  element('notice').textContent = advice
}

function showToken() {
  const held = tokens.get()
  for (const id of ['call', 'refresh', 'logout']) element(id).disabled = held === null
  if (held === null) return
  const claims = readClaims(held.access_token)
  list('token', {
    user: claims.sub,
    session: claims[`${CLAIM}session_id`],
    'issued at': timeOf(claims.iat),
    'logged in at': timeOf(claims[`${CLAIM}authenticated_at`]),
    'last logout until then': timeOf(claims[`${CLAIM}last_logout`]),
    'expires at': timeOf(claims.exp),
  })
  showKnown()
}

async function showKnown() {
  if (tokens.get() === null) return
  const response = await fetch('known', { headers: bearer() })
  if (!response.ok) return
  const { lastLogout, check } = await response.json()
  const { revoked, reason } = check
  element('verdict').textContent = revoked ? 'Refused' : 'Accepted'
  element('verdict').className = `verdict ${revoked ? 'bad' : 'good'}`
  element('why').textContent = `${REASONS[reason] ?? ''} (${reason})`
  list('known', {
    'last logout': clock(lastLogout.last_logout_at),
    'of all sessions': clock(lastLogout.all_sessions_at),
    'your session': stateOf(lastLogout.session),
    policy: lastLogout.policy,
    plan: settings.enterprise ? 'Enterprise' : 'without Enterprise fields',
  })
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
    freshness = { asOf: as_of, ageMs: () => lag_ms + performance.now() - receivedAt }
    const receivedAt = performance.now()
    showKnown()
  })
}

function showFreshness() {
  const age = freshness === null ? null : freshness.ageMs() / 1000
  element('freshness').classList.toggle('live', age !== null && age < 10)
  if (age === null) return
  element('freshness').textContent =
    `The log has been read up to ${clock(freshness.asOf)}, ${age.toFixed(1)} s ago`
}

function showChange(change) {
  const what = {
    user: () => `${change.user_id} logged out at ${clock(change.at)}`,
    session: () =>
      `session ${change.session_id.slice(0, 8)}… ${change.ended ? 'ended' : 'logged out'}`,
    floor: () => `no token from before ${clock(change.at)} counts`,
  }[change.kind]()
  const held = tokens.get()
  const own = held !== null && readClaims(held.access_token).sub === change.user_id
  prepend('feed', what, own ? 'own' : '')
}

function prepend(id, said, className) {
  const item = document.createElement('li')
  const time = document.createElement('time')
  time.textContent = clock(new Date())
  const text = document.createElement('span')
  text.className = className
  text.textContent = said
  item.append(time, text)
  const items = element(id)
  items.prepend(item)
  while (items.children.length > LONGEST_LIST) items.lastElementChild.remove()
}

function list(id, values) {
  const rows = Object.entries(values).flatMap(([name, value]) => {
    const term = document.createElement('dt')
    term.textContent = name
    const description = document.createElement('dd')
    description.textContent = value ?? '–'
    return [term, description]
  })
  element(id).replaceChildren(...rows)
}

function timeOf(numericDate) {
  return numericDate === undefined ? null : clock(new Date(numericDate * 1000).toISOString())
}

/** To the millisecond, since that is what decides; with the day where it is not today. */
function clock(dateTime) {
  if (!dateTime) return null
  const at = new Date(dateTime)
  const isToday = at.toDateString() === new Date().toDateString()
  const day = isToday ? '' : `${at.toLocaleDateString()} `
  return day + TIME.format(at)
}
