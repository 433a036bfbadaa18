import { callApis, resetBoth, toCurl } from './apis.js'
import { element } from './elements.js'
import { followFeed, showFreshness } from './feed.js'
import { openLiveConnections } from './live.js'
import { LOGOUT_CHANNEL, openLogout, startLogin, takeCallback, tokenRequest } from './login.js'
import { adviceAfter, showResponses, showResult } from './responses.js'
import { settings } from './settings.js'
import { isWaiting, showSteps, showTimeline } from './steps.js'
import { cancelLogout, recordLogout, run, tokens, updateRun } from './stored.js'
import { showState, showToken } from './token.js'
import { showUses } from './uses.js'

/** Interval at which the page calls the APIs after the logout, in milliseconds. */
const CALL_INTERVAL_MS = 1_000

/** Interval at which the running counter is drawn, in milliseconds. */
const DRAW_INTERVAL_MS = 100

/** Interval at which the page checks whether the window of the logout is closed, in milliseconds. */
const WINDOW_INTERVAL_MS = 500

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

showResponses()
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
    showResult(what, false, 'no response', 'No response: check that the demo is running.')
  }
}

async function handleCallback() {
  const callback = takeCallback()
  if (callback === null) return
  const { kind, error, code, verifier } = callback
  if (error !== null) return showResult(kind, false, error, adviceAfter(error))
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
  showResult(kind, ok, ok ? 'a new token' : body.error, adviceAfter(body.error))
}

/**
 * Logs out in a new window. This page stays open, like another tab of the user, and keeps its token and connections.
 */
function logOut(way) {
  logoutWindow = openLogout(settings, way, tokens.get().id_token)
  if (logoutWindow === null) {
    return showResult(
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
  showResult('logout', true, 'the session at the tenant has ended', advice)
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
    showResult('logout', false, 'the window was closed', 'Log out again, and wait for the window.')
    showAll()
  }, WINDOW_INTERVAL_MS)
}

async function callNow() {
  const result = await callApis()
  if (result === null) return
  showResult('without last-logout', result.without.ok, describe(result.without), '')
  showResult(
    'with last-logout',
    result.with.ok,
    describe(result.with),
    adviceAfter(result.with.error),
  )
  showAll()
}

/** Calls the APIs while the page waits for the refusal, unless the last call has no response yet. */
async function callWhileWaiting() {
  if (!isWaiting() || isCalling) return
  isCalling = true
  await attempt('call', async () => {
    const result = await callApis()
    if (!result?.isRefused) return
    showResult('with last-logout', false, describe(result.with), adviceAfter(result.with.error))
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
  showResult('refresh', ok, result, adviceAfter(body.error))
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
