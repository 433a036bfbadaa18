import type { ChangesPage } from '../rules/change-feed.js'
import type { Policy } from '../rules/judge.js'
import { toFreshness } from './freshness.js'
import { toWireChange } from './wire-change.js'

/** The content type of Server-Sent Events. */
export const EVENT_STREAM = 'text/event-stream'

/** Delay before a browser reconnects, in milliseconds. */
const RECONNECT_DELAY_MS = 1_000

/**
 * Formats pages of the change feed as Server-Sent Events.
 *
 * @param first The first page. For a page that is `null`, here and in `rest`, a `reset` is sent: the cursor is unknown.
 */
export async function* toEvents(
  first: ChangesPage | null,
  rest: AsyncIterable<ChangesPage | null>,
  policy: Policy,
): AsyncGenerator<string> {
  // The first chunk is short, because some proxies decide by its size whether they compress the stream.
  yield `retry: ${RECONNECT_DELAY_MS}\n\n`
  yield formatPage(first, policy)
  for await (const page of rest) yield formatPage(page, policy)
}

function formatPage(page: ChangesPage | null, policy: Policy): string {
  // An empty id makes a browser discard its unknown cursor.
  if (page === null) return formatEvent('reset', {}, '')
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
