import { callApis, resetBoth, toCurl } from './apis.js'
import { element } from './elements.js'
import { followFeed, showFreshness } from './feed.js'
import { insertLine } from './lists.js'
import { openLiveConnections } from './live.js'
import { LOGOUT_CHANNEL, openLogout, startLogin, takeCallback, tokenRequest } from './login.js'
import { settings } from './settings.js'
import { isWaiting, showSteps, showTimeline } from './steps.js'
import { cancelLogout, recordLogout, run, storedValue, tokens, updateRun } from './stored.js'
import { showState, showToken } from './token.js'
import { showUses } from './uses.js'

/** Interval at which the page calls the APIs after the logout, in milliseconds. */
const CALL_INTERVAL_MS = 1_000

/** Interval at which the running counter is drawn, in milliseconds. */
const DRAW_INTERVAL_MS = 100

/** The advice for each error. */
const ADVICE = {
  invalid_token: 'The API with last-logout refused the token. The next step: log in.',
  access_denied:
    'The login Action denied the exchange: log in again, with prompt=login and no cached token.',
  login_required: 'This browser has no session: log in.',
  invalid_grant: 'The tenant does not know this refresh token: log in again.',
}

/** Interval at which the page checks whether the window of the logout is closed, in milliseconds. */
const WINDOW_INTERVAL_MS = 500

const responses = storedValue('responses', [])
let isCalling = false
/** The window of the logout, until it has reported the logout or is closed. */
let logoutWindow = null

element('docs-link').href = settings.docsUrl
element('console-link').href = settings.consoleUrl
for (const id of ['login', 'again', 'login-now'])
  element(id).onclick = () => startLogin(settings, 'login')
element('silent').onclick = () => startLogin(settings, 'none')
for (const id of ['call', 'call-now']) element(id).onclick = () => attempt('call', callNow)
element('refresh').onclick = () => attempt('refresh', refreshToken)
element('logout').onclick = () => logOut('auth0')
element('logout-endpoint').onclick = () => logOut('endpoint')
new BroadcastChannel(LOGOUT_CHANNEL).onmessage = onLoggedOut
element('copy-token').onclick = () => copy('token', tokens.get().access_token)
element('copy-curl').onclick = () => copy('command', toCurl())
element('show-others').onchange = ({ target }) =>
  element('feed').classList.toggle('own-only', !target.checked)

for (const response of responses.get()) showResponse(response)
await attempt('login', handleCallback)
resetBoth()
if (run.get().isCalled) await attempt('call', callApis)
openLiveConnections(callWhileWaiting)
showAll()
followFeed(() => showKnown().catch(() => {}))
setInterval(showMoment, DRAW_INTERVAL_MS)
setInterval(callWhileWaiting, CALL_INTERVAL_MS)
setInterval(checkWindow, WINDOW_INTERVAL_MS)

/** Runs an action of the user. If the action fails, shows advice: the demo may have stopped. */
async function attempt(what, action) {
  try {
    await action()
  } catch {
    report(what, false, 'no response', 'No response: check that the demo is running.')
  }
}

async function handleCallback() {
  const callback = takeCallback()
  if (callback === null) return
  const { kind, error, code, verifier } = callback
  if (error !== null) return report(kind, false, error, adviceFor(error))
  const { ok, body } = await tokenRequest(settings, {
    grant_type: 'authorization_code',
    code,
    code_verifier: verifier,
    redirect_uri: `${location.origin}/`,
  })
  if (ok) {
    tokens.set(body)
    run.set({})
  }
  report(kind, ok, ok ? 'a new token' : body.error, adviceFor(body.error))
}

/**
 * Logs out in a new window. This page stays open, like another tab of the user, and keeps its token and connections.
 */
function logOut(way) {
  logoutWindow = openLogout(settings, way, tokens.get().id_token)
  if (logoutWindow === null) {
    return report(
      'logout',
      false,
      'no window',
      'Allow this page to open windows, and log out again.',
    )
  }
  recordLogout(way)
  showAll()
}

/** Called when the user has logged out in the window of this page, or of another tab. */
function onLoggedOut() {
  if (logoutWindow === null) return
  logoutWindow = null
  const advice = 'Logged out. This page keeps the token, and calls both APIs once a second.'
  report('logout', true, 'the session at the tenant has ended', advice)
  callWhileWaiting()
}

/** If the user has closed the window before the logout, the page offers the logout again. */
function checkWindow() {
  const closedWindow = logoutWindow
  if (!closedWindow?.closed) return
  // The report of the logout can still be on its way.
  setTimeout(() => {
    if (logoutWindow !== closedWindow) return
    logoutWindow = null
    cancelLogout()
    report('logout', false, 'the window was closed', 'Log out again, and wait for the window.')
    showAll()
  }, WINDOW_INTERVAL_MS)
}

async function callNow() {
  const result = await callApis()
  if (result === null) return
  report('without last-logout', result.without.ok, describe(result.without), '')
  report('with last-logout', result.with.ok, describe(result.with), adviceFor(result.with.error))
  showAll()
}

/** Calls the APIs while the page waits for the refusal, unless the last call has no response yet. */
async function callWhileWaiting() {
  if (!isWaiting() || isCalling) return
  isCalling = true
  await attempt('call', async () => {
    const result = await callApis()
    if (!result?.isRefused) return
    report('with last-logout', false, describe(result.with), adviceFor(result.with.error))
    showAll()
  })
  isCalling = false
}

function describe({ status, text }) {
  return `${status} ${text}`
}

async function refreshToken() {
  const { refresh_token } = tokens.get()
  const { ok, body } = await tokenRequest(settings, { grant_type: 'refresh_token', refresh_token })
  if (ok) tokens.set({ ...tokens.get(), ...body })
  else updateRun({ isDenied: true })
  const result = ok ? 'a new token' : `${body.error}: ${body.error_description}`
  report('refresh', ok, result, adviceFor(body.error))
  showAll()
}

async function copy(what, text) {
  try {
    await navigator.clipboard.writeText(text)
    element('notice').textContent = `The ${what} is copied.`
  } catch {
    element('notice').textContent = `The browser does not permit to copy the ${what}.`
  }
}

function adviceFor(error) {
  return error ? (ADVICE[error] ?? `The error was ${error}.`) : ''
}

/** Shows the result of an action, with advice after a failure. */
function report(what, ok, result, advice) {
  const response = { at: Date.now(), ok, text: `${what}: ${result}` }
  responses.set([...responses.get(), response].slice(-50))
  showResponse(response)
  element('notice').textContent = advice
}

function showResponse({ at, ok, text }) {
  insertLine('responses', { at, text, className: ok ? '' : 'bad' })
}

function showAll() {
  showSteps()
  showTimeline()
  if (!run.get().isCalled) resetBoth()
  showToken()
  showKnown().catch(() => {})
}

/** Shows what last-logout knows about the user. Discards a token that another run of the demo has issued. */
async function showKnown() {
  if (await showState(settings)) return
  tokens.set(null)
  run.set({})
  showSteps()
  showTimeline()
  resetBoth()
  showToken()
}

/** Shows what changes with time: the counter, the live connections, and the age of the data. */
function showMoment() {
  showTimeline()
  showUses()
  showFreshness()
}
