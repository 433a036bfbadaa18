import { durationText, element, formatTime } from './elements.js'
import { settings } from './settings.js'
import { endOf, run, tokens } from './stored.js'

/** The steps in their order. Step 4 has no button. */
const STEPS = ['login', 'call', 'logout', 'wait', 'again']

/** The buttons that need a token. */
const TOKEN_BUTTONS = ['call-now', 'refresh']

/** Returns the step that is next. */
export function nextStep() {
  const { isCalled, isDenied, loggedOutAt } = run.get()
  if (tokens.get() === null) return 'login'
  if (isDenied || endOf('rest') !== undefined) return 'again'
  if (loggedOutAt !== undefined) return 'wait'
  return isCalled ? 'logout' : 'call'
}

/** Whether the user has logged out, and the API with last-logout or nginx has not refused the token yet. */
export function isWaiting() {
  const isPending = ['rest', ...(settings.nginx.url === undefined ? [] : ['nginx'])].some(
    (use) => endOf(use) === undefined,
  )
  return tokens.get() !== null && run.get().loggedOutAt !== undefined && isPending
}

/** Enables the button of the next step, and marks the steps before it as done. */
export function showSteps() {
  const next = nextStep()
  for (const [index, name] of STEPS.entries()) {
    const step = element(`step-${name}`)
    step.classList.toggle('done', index < STEPS.indexOf(next))
    if (name === next) step.setAttribute('aria-current', 'step')
    else step.removeAttribute('aria-current')
    for (const button of step.querySelectorAll('button')) button.disabled = name !== next
  }
  for (const id of TOKEN_BUTTONS) element(id).disabled = tokens.get() === null
}

/** Shows the times from the logout to the refusal. The counter runs until the refusal. */
export function showTimeline() {
  const { loggedOutAt, knownAt } = run.get()
  const refusedAt = endOf('rest')?.at
  const sinceLogout = (at) =>
    loggedOutAt === undefined ? formatTime(at) : `+${durationText(at - loggedOutAt)}`
  const show = (id, at, format) => {
    const item = element(id)
    item.classList.toggle('reached', at !== undefined)
    item.querySelector('span').textContent = at === undefined ? '–' : format(at)
  }
  show('reached-logout', loggedOutAt, formatTime)
  show('reached-known', knownAt, sinceLogout)
  show('reached-refusal', refusedAt, sinceLogout)
  const endsAt = refusedAt ?? Date.now()
  element('counter').textContent = durationText(
    loggedOutAt === undefined ? 0 : endsAt - loggedOutAt,
  )
}
