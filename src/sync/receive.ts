import { abortedError } from '../errors.js'
import type { LastLogoutStore } from '../ports.js'
import { readEntries, toBatch } from './read-batch.js'
import { readLines, unwrapEntry } from './read-lines.js'

/** Number of entries per transaction. While a transaction runs, the poll waits: both lock the tenant row. */
const BATCH_SIZE = 1_000

/**
 * Maximum number of items in a body. Entries take a kilobyte or more, so a body of ten megabytes has fewer. Ten
 * megabytes of junk can have millions of items, which would take minutes.
 */
const MAX_ITEMS = 10_000

/**
 * Maximum number of JSON values in a body. An entry has about 50. Ten megabytes of brackets are millions of values:
 * parsing them would block the process for seconds and exceed its memory.
 */
const MAX_VALUES = 500_000

/**
 * Outcome of receiving a body. `stored`: all items are stored. `too many`: nothing is stored, because the body exceeds
 * {@link MAX_ITEMS} or {@link MAX_VALUES}.
 */
type Received = 'stored' | 'too many'

/** The dependencies of {@link receive}. */
export interface ReceiveDeps {
  store: Pick<LastLogoutStore, 'storeBatch'>
  /** The event types that count as a logout. */
  types: ReadonlySet<string>
}

/**
 * Stores the entries of a log-stream request. When the promise resolves, all entries are committed. A log stream only
 * makes logouts count earlier. It does not move the checkpoint or `as_of`, because a stream can lose entries.
 *
 * An item that cannot be read is stored as unattributable, and polling reads the entry from the log. The request is not
 * refused: Auth0 would send it again, with the same result, and pause the stream after seven days.
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
 * Returns an upper bound of the number of JSON values, without parsing: every value except the first follows an opening
 * bracket, an opening brace or a comma.
 */
function countValues(text: string): number {
  let count = 1
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (character === '[' || character === '{' || character === ',') count++
  }
  return count
}
