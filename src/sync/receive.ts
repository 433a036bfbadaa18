import { abortedError } from '../errors.js'
import type { LastLogoutStore } from '../ports.js'
import { readEntries, toBatch } from './read-batch.js'
import { readLines, unwrapEntry } from './read-lines.js'

/** Maximum number of entries per transaction. A poll must wait, because the transaction locks the tenant row. */
const BATCH_SIZE = 1_000

/**
 * Maximum number of items in a body. A body has at most ten megabytes. It has fewer entries than this number, because
 * an entry takes at least a kilobyte. An invalid body can have millions of items, which would take minutes.
 */
const MAX_ITEMS = 10_000

/**
 * Maximum number of JSON values in a body. An entry has about 50 values. An invalid body can have millions. Parsing
 * them would block the process for seconds, and could exhaust its memory.
 */
const MAX_VALUES = 500_000

/**
 * `stored`: all items are stored. `too many`: nothing is stored, because the body exceeds {@link MAX_ITEMS} or
 * {@link MAX_VALUES}.
 */
type Received = 'stored' | 'too many'

/** The dependencies of {@link receive}. */
export interface ReceiveDeps {
  store: Pick<LastLogoutStore, 'storeBatch'>
  /** The event types that count as a logout. */
  types: ReadonlySet<string>
}

/**
 * Stores the entries of a log-stream request. When the promise resolves, all entries are committed. Through a log
 * stream, logouts revoke tokens before the next poll. The request moves neither the checkpoint nor `as_of`, because a
 * stream can lose entries.
 *
 * An invalid item is stored as an unattributable entry, and the poll reads the valid entry from the log. If this
 * service refused the request, Auth0 would send it again with the same result, and would pause the stream after seven
 * days.
 *
 * @param signal Aborts when the client has disconnected.
 * @throws `ABORTED` if `signal` has aborted between two transactions.
 * @see https://auth0.com/docs/customize/log-streams
 */
export async function receive(
  { store, types }: ReceiveDeps,
  body: string,
  signal: AbortSignal,
): Promise<Received> {
  const items = readItems(body)
  if (items === null) return 'too many'
  for (let from = 0; from < items.length; from += BATCH_SIZE) {
    if (signal.aborted) throw abortedError()
    const entries = items.slice(from, from + BATCH_SIZE).map(unwrapEntry)
    const batch = toBatch([readEntries(entries, types)])
    const { users, sessions, unattributable } = batch
    if (users.length + sessions.length + unattributable.length > 0) await store.storeBatch(batch)
  }
  return 'stored'
}

function readItems(body: string): unknown[] | null {
  if (countValues(body) > MAX_VALUES) return null
  const items: unknown[] = []
  for (const item of readLines(body)) {
    if (items.length === MAX_ITEMS) return null
    items.push(item)
  }
  return items
}

/**
 * Returns an upper bound of the number of JSON values in a text, without parsing: one more than the number of `[`, `{`
 * and commas.
 */
function countValues(text: string): number {
  let count = 1
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (character === '[' || character === '{' || character === ',') count++
  }
  return count
}
