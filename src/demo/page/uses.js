import { durationText, element } from './elements.js'
import { durationOf, endOf, run } from './stored.js'

/** The uses of the token. The function of each use describes its state until the token is refused. */
const states = new Map()

/** The ways to log out, in the order of the columns. */
const WAYS = ['auth0', 'endpoint']

/** Sets the state of a use of the token: a text, or a function that returns a text. */
export function setState(use, state) {
  states.set(use, typeof state === 'string' ? () => state : state)
}

/** Shows why this demo does not offer a use of the token. */
export function showUnavailable(use, reason) {
  element(`use-${use}`).querySelector('.state').textContent = reason
}

/** Shows the state of each use of the token, and how long after the logout the use ended. */
export function showUses() {
  for (const [use, describe] of states) {
    const row = element(`use-${use}`)
    const end = endOf(use)
    const state = row.querySelector('.state')
    state.textContent = end === undefined ? describe() : `${end.text}${timeAfter(', ', end.at)}`
    state.className = `state ${classOf(end)}`
    for (const [index, cell] of row.querySelectorAll('td').entries()) {
      const ms = durationOf(WAYS[index], use)
      cell.textContent = ms === undefined ? '–' : durationText(ms)
    }
  }
}

function classOf(end) {
  if (run.get().loggedOutAt === undefined) return ''
  return end === undefined ? 'warn' : 'good'
}

/** Describes how long after the logout something happened. Empty if the user has not logged out on this page. */
export function timeAfter(separator, at) {
  const { loggedOutAt } = run.get()
  return loggedOutAt === undefined
    ? ''
    : `${separator}${durationText(at - loggedOutAt)} after the logout`
}
