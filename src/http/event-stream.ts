import type { ChangesPage } from '../rules/change-feed.js'
import type { Policy } from '../rules/judge.js'
import { toFreshness } from './freshness.js'
import { toWireChange } from './wire-change.js'

/** The content type of Server-Sent Events. */
export const EVENT_STREAM = 'text/event-stream'

/** Delay before a browser reconnects, in milliseconds. */
const RECONNECT_DELAY_MS = 1_000

const RETRY = Buffer.from(`retry: ${RECONNECT_DELAY_MS}\n\n`)

/** Formats a page of the change feed as Server-Sent Events; `null`: a `reset`, because the cursor is unknown. */
type FormatPage = (page: ChangesPage | null) => Buffer

/** Creates a function that formats pages. It formats a page once, however many subscribers the page is sent to. */
export function createPageFormatter(policy: Policy): FormatPage {
  // An empty id makes a browser discard its unknown cursor.
  const reset = Buffer.from(formatEvent('reset', {}, ''))
  const formatted = new WeakMap<ChangesPage, Buffer>()
  return (page) => {
    if (page === null) return reset
    const events = formatted.get(page) ?? Buffer.from(formatPage(page, policy))
    formatted.set(page, events)
    return events
  }
}

/** Formats the first page and the pages of `rest` as Server-Sent Events. */
export async function* toEvents(
  first: ChangesPage | null,
  rest: AsyncIterable<ChangesPage | null>,
  format: FormatPage,
): AsyncGenerator<Buffer> {
  // The first chunk is short, because some proxies decide by its size whether they compress the stream.
  yield RETRY
  yield format(first)
  for await (const page of rest) yield format(page)
}

function formatPage(page: ChangesPage, policy: Policy): string {
  const { changes, cursor, more } = page
  const last = changes.length - 1
  // Only the last change carries the cursor: a stream cannot resume within a page.
  const events = changes.map((change, i) =>
    formatEvent('change', toWireChange(change), i === last ? cursor : undefined),
  )
  const freshness = { cursor, ...toFreshness(page), policy }
  return events.join('') + (more ? '' : formatEvent('freshness', freshness, cursor))
}

function formatEvent(name: string, data: object, id?: string): string {
  return `event: ${name}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`
}
