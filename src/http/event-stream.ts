import type { ChangesPage } from '../rules/change-feed.js'
import type { Policy } from '../rules/judge.js'
import { toFreshness } from './freshness.js'
import { toWireChange } from './wire-change.js'

/** The content type of Server-Sent Events. */
export const EVENT_STREAM = 'text/event-stream'

/** Delay before a browser reconnects, in milliseconds. */
const RECONNECT_DELAY_MS = 1_000

/** The first event of a stream: it sets the delay before a browser reconnects. */
export const RETRY = Buffer.from(`retry: ${RECONNECT_DELAY_MS}\n\n`)

/** Formats a page of the change feed as Server-Sent Events. Formats `null`, an unknown cursor, as the event `reset`. */
export type FormatPage = (page: ChangesPage | null) => Buffer

/** Creates a function that formats pages. A page for several subscribers is formatted once. */
export function createPageFormatter(policy: Policy): FormatPage {
  // An empty id makes a browser discard its unknown cursor.
  const reset = Buffer.from(formatEvent('reset', '{}', ''))
  const formatted = new WeakMap<ChangesPage, Buffer>()
  return (page) => {
    if (page === null) return reset
    const events = formatted.get(page) ?? Buffer.from(formatPage(page, policy))
    formatted.set(page, events)
    return events
  }
}

function formatPage(page: ChangesPage, policy: Policy): string {
  const { changes, columns, cursor, more } = page
  const events = changes.map((change) => ({
    name: 'change',
    data: JSON.stringify(toWireChange(change)),
  }))
  if (columns !== undefined) events.push({ name: 'columns', data: columns })
  const lastIndex = events.length - 1
  // A stream cannot resume within a page, so only the last event with changes has the cursor as its id.
  const text = events
    .map(({ name, data }, i) => formatEvent(name, data, i === lastIndex ? cursor : undefined))
    .join('')
  const freshness = JSON.stringify({ cursor, ...toFreshness(page), policy })
  return text + (more ? '' : formatEvent('freshness', freshness, cursor))
}

/** Formats an event. `data` is JSON without line feeds. */
function formatEvent(name: string, data: string, id?: string): string {
  return `event: ${name}\n${id === undefined ? '' : `id: ${id}\n`}data: ${data}\n\n`
}
