import type { LastLogoutStore } from '../ports.js'
import type { Instant } from '../rules/instant.js'
import { readBatch } from './read-batch.js'
import { readLines, unwrapEntry } from './read-lines.js'

/** How many entries one transaction holds: the tenant row is not kept from the poll for longer. */
const BATCH_SIZE = 1_000

/** What receiving needs. */
export interface ReceiveDeps {
  store: Pick<LastLogoutStore, 'storeBatch'>
  /** The event types that count. */
  types: ReadonlySet<string>
  now: () => Instant
}

/**
 * Stores what a log stream has sent; all of it when this resolves. It only makes logouts count
 * earlier: neither the checkpoint nor `as_of` moves, since a stream leaves out what it failed to send.
 *
 * Nothing is refused for what it says. Auth0 sends a batch that is refused again, and after seven
 * days of that pauses the stream; what cannot be read now could not be read then. It is kept as
 * unattributable, and polling reads the entry itself.
 * @see https://auth0.com/docs/customize/log-streams
 */
export async function receive({ store, types, now }: ReceiveDeps, body: string): Promise<void> {
  for (const entries of inBatches(readLines(body))) {
    const { batch } = readBatch(entries.map(unwrapEntry), types, now())
    const { users, sessions, unattributable } = batch
    if (users.length + sessions.length + unattributable.length > 0) await store.storeBatch(batch)
  }
}

function* inBatches<T>(items: Iterable<T>): Generator<T[]> {
  let batch: T[] = []
  for (const item of items) {
    batch.push(item)
    if (batch.length < BATCH_SIZE) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}
