import type { Change, ChangesPage } from '../rules/change-feed.js'
import { toDateTime } from '../rules/instant.js'
import type { Policy } from '../rules/judge.js'
import { toFreshness } from './freshness.js'

/** After a broken connection a browser waits this long, in milliseconds. */
const RETRY_MS = 1_000

/** Pages of the feed as the text of Server-Sent Events; `null`: the cursor is none of this feed. */
export async function* toEvents(
  first: ChangesPage | null,
  rest: AsyncIterable<ChangesPage | null>,
  policy: Policy,
): AsyncGenerator<string> {
  // A chunk of its own: a proxy that decides by the first chunk whether to compress sees a short one.
  yield `retry: ${RETRY_MS}\n\n`
  yield toText(first, policy)
  for await (const page of rest) yield toText(page, policy)
}

function toText(page: ChangesPage | null, policy: Policy): string {
  // The empty id makes a browser forget the one that is unknown here.
  if (page === null) return toEvent('reset', {}, '')
  const { changes, cursor, more } = page
  const last = changes.length - 1
  // The cursor goes with the page's last change: within a page nothing is resumed.
  const events = changes.map((change, i) =>
    toEvent('change', toJson(change), i === last ? cursor : undefined),
  )
  const freshness = { cursor, ...toFreshness(page), policy }
  return events.join('') + (more ? '' : toEvent('freshness', freshness, cursor))
}

function toEvent(name: string, data: object, id?: string): string {
  return `event: ${name}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`
}

/** A change as it is sent. */
export function toJson(change: Change) {
  const at = toDateTime(change.at)
  switch (change.kind) {
    case 'user': {
      const all_sessions_at = toDateTime(change.allSessionsAt)
      return { kind: change.kind, user_id: change.userId, at, all_sessions_at, type: change.type }
    }
    case 'session': {
      const { kind, sessionId: session_id, userId: user_id, ended, type } = change
      return { kind, session_id, user_id, at, ended, type }
    }
    case 'floor':
      return { kind: change.kind, at }
  }
}
