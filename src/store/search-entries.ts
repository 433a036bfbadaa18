import { containsAny } from './contains-any.js'
import type { Executor } from './database.js'
import { Prisma } from './generated/client.js'
import { escapeNonAscii } from './isolate-rows.js'

/** Number of entries that a statement reads. An entry has at most 8,192 characters. */
const BATCH_SIZE = 500

/** A search for the unattributable entries that contain at least one of some ids. */
export interface EntrySearch {
  ids: ReadonlySet<string>
  /** The ids of the entries that were found. */
  found: string[]
  /**
   * Searches the entries that were stored since the search began. These are few, so the search can run under the lock
   * of the tenant row.
   */
  searchNewer(tx: Executor): Promise<string[]>
}

/**
 * Searches all unattributable entries in batches, so that no statement takes long. Must run without the lock of the
 * tenant row, because other writers would wait until all entries have been searched.
 */
export async function searchEntries(executor: Executor, ids: string[]): Promise<EntrySearch> {
  const matches = containsAny(ids.flatMap(spellings))
  // All earlier transactions have ended, so the search finds their entries. An id of a transaction, unlike a time, does
  // not depend on a clock or on the duration of a transaction.
  const [start] = await executor.$queryRaw<{ transaction: string }[]>`
    SELECT pg_snapshot_xmin(pg_current_snapshot())::xid::text AS transaction`
  const isNewer = Prisma.sql`age(xmin) <= age(${start?.transaction}::text::xid)`
  return {
    ids: new Set(ids),
    found: await findEntries(executor, matches, Prisma.sql`true`),
    searchNewer: (tx) => findEntries(tx, matches, isNewer),
  }
}

/** Returns the ids of the entries that fulfil a condition, and whose text matches. */
async function findEntries(
  executor: Executor,
  matches: (entry: string) => boolean,
  condition: Prisma.Sql,
): Promise<string[]> {
  const found: string[] = []
  let rows: { id: string; entry: string }[]
  let lastId = ''
  do {
    rows = await executor.$queryRaw`
      SELECT id, entry FROM ${executor.tables.unattributable}
      WHERE id > ${lastId} AND ${condition} ORDER BY id LIMIT ${BATCH_SIZE}`
    for (const { id, entry } of rows) if (matches(entry)) found.push(id)
    lastId = rows.at(-1)?.id ?? ''
  } while (rows.length === BATCH_SIZE)
  return found
}

/**
 * Returns every spelling that an id can have in a stored entry:
 *
 * - the id without escapes
 * - the id with the escapes of JSON
 * - the id with double escapes, because an entry that could not be parsed is stored as a JSON string
 * - each of these spellings in ASCII, because entries of rows that PostgreSQL refused are stored in ASCII
 */
function spellings(id: string): string[] {
  const escaped = JSON.stringify(id).slice(1, -1)
  const all = [id, escaped, JSON.stringify(escaped).slice(1, -1)]
  return [...new Set([...all, ...all.map(escapeNonAscii)])]
}
