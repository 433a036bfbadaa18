import { aborted } from '../errors.js'
import type { LastLogoutStore } from '../ports.js'
import { readBatch } from './read-batch.js'
import { readLines, unwrapEntry } from './read-lines.js'

/** Entries per transaction: a transaction blocks the poll, which needs the same tenant row. */
const BATCH_SIZE = 1_000

/**
 * Items per body. An entry takes a kilobyte or more, so ten megabytes of entries hold fewer. Ten megabytes
 * of junk would hold millions and take minutes.
 */
const MAX_ITEMS = 10_000

/**
 * JSON values per body, at about 50 per entry. Ten megabytes of brackets hold millions: parsing them would
 * block the process for seconds and exceed its memory.
 */
const MAX_VALUES = 500_000

/** Outcome: all of it is stored, or nothing, because the body exceeds {@link MAX_ITEMS} or {@link MAX_VALUES}. */
type Received = 'stored' | 'too many'

/** What receiving needs. */
export interface ReceiveDeps {
  store: Pick<LastLogoutStore, 'storeBatch'>
  /** The event types that count. */
  types: ReadonlySet<string>
}

/**
 * Stores the body of a log-stream request. When this resolves, everything is committed. A stream only makes
 * logouts count earlier: it does not move the checkpoint or `as_of`, since a stream can drop entries.
 *
 * No content is refused. Auth0 repeats a refused batch and pauses the stream after seven days, and an
 * item that cannot be read now cannot be read then. It is stored as unattributable, and polling reads the
 * entry itself.
 *
 * @param signal Aborted when the client has disconnected.
 * @throws `ABORTED` between two transactions.
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
    if (signal.aborted) throw aborted()
    const entries = items.slice(from, from + BATCH_SIZE).map(unwrapEntry)
    const { batch } = readBatch(entries, types)
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

/** An upper bound, without parsing: each value but the first follows one of these characters. */
function countValues(text: string): number {
  let count = 1
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (character === '[' || character === '{' || character === ',') count++
  }
  return count
}
