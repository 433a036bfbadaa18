import { aborted } from '../errors.js'
import type { LastLogoutStore } from '../ports.js'
import { readBatch } from './read-batch.js'
import { readLines, unwrapEntry } from './read-lines.js'

/** How many entries one transaction holds: the tenant row is not kept from the poll for longer. */
const BATCH_SIZE = 1_000

/**
 * How many items a body may have. An entry takes a kilobyte or more, so that ten megabytes hold
 * fewer; of junk they would hold millions, and minutes would go by on them.
 */
const MOST_ITEMS = 10_000

/**
 * How many JSON values a body may have: some 50 an entry. Of nothing but brackets ten megabytes hold
 * millions; reading those stops the process for seconds, and takes more memory than it may have.
 */
const MOST_VALUES = 500_000

/** What became of a body: all of it stored, or nothing, since it has more than {@link MOST_ITEMS} or {@link MOST_VALUES}. */
type Received = 'stored' | 'too many'

/** What receiving needs. */
export interface ReceiveDeps {
  store: Pick<LastLogoutStore, 'storeBatch'>
  /** The event types that count. */
  types: ReadonlySet<string>
}

/**
 * Stores what a log stream has sent; all of it when this resolves. It only makes logouts count
 * earlier: neither the checkpoint nor `as_of` moves, since a stream leaves out what it failed to send.
 *
 * Nothing is refused for what it says. Auth0 sends a batch that is refused again, and after seven
 * days of that pauses the stream; what cannot be read now could not be read then. It is kept as
 * unattributable, and polling reads the entry itself.
 *
 * Throws `ABORTED` between two transactions once nobody waits for the end of it.
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
  if (countValues(body) > MOST_VALUES) return null
  const items: unknown[] = []
  for (const item of readLines(body)) {
    if (items.length === MOST_ITEMS) return null
    items.push(item)
  }
  return items
}

/** At least as many as a line of it has: each but the first follows one of these. Not read, so that it costs nothing. */
function countValues(text: string): number {
  let count = 1
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (character === '[' || character === '{' || character === ',') count++
  }
  return count
}
