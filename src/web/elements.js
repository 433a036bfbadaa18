/* Functions that the pages of the demo and the console share: elements, and formats of times and durations. */

const DAY_MS = 86_400_000

const TIME = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' })
const DATE = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium' })

/** Returns the element with an id. */
export const element = (id) => document.getElementById(id)

/** Creates an element. Each child is an element or a text. */
export function create(tag, properties = {}, ...children) {
  const created = Object.assign(document.createElement(tag), properties)
  created.append(...children)
  return created
}

/** Formats a time as `22:40:05`. */
export function clockText(time) {
  return TIME.format(new Date(time))
}

/** Formats a time as `22:40:05`, and adds the day if it is not today. Accepts an ISO 8601 date-time or milliseconds. */
export function formatTime(time) {
  const at = new Date(time)
  const day = nameDay(at)
  return `${day === '' ? '' : `${day} `}${clockText(at)}`
}

function nameDay(at) {
  const days = { '-1': 'yesterday', 0: '', 1: 'tomorrow' }
  const daysAhead = Math.round((startOfDay(at) - startOfDay(new Date())) / DAY_MS)
  return days[daysAhead] ?? DATE.format(at)
}

function startOfDay(at) {
  return new Date(at).setHours(0, 0, 0, 0)
}

/** Creates an element that displays a time. Its tooltip shows the milliseconds, because they can decide a verdict. */
export function timeElement(time) {
  const exact = new Date(time).toISOString()
  return create('time', { dateTime: exact, title: exact }, formatTime(time))
}

/** Formats a duration in milliseconds. The unit depends on the size of the duration. */
export function durationText(ms) {
  const seconds = ms / 1000
  if (seconds < 100) return `${seconds.toFixed(1)} s`
  if (seconds < 6_000) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800
    ? `${Math.round(seconds / 3600)} h`
    : `${Math.round(seconds / 86_400)} days`
}

/** Replaces the content of a description list. A value is a text or an element; `null` is displayed as a dash. */
export function showFacts(id, facts) {
  const rows = Object.entries(facts).map(([name, value]) =>
    create('div', {}, create('dt', {}, name), create('dd', {}, value ?? '–')),
  )
  element(id).replaceChildren(...rows)
}
