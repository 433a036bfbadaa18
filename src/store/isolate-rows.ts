import { LastLogoutError } from '../errors.js'
import type { Batch, Unattributable } from '../rules/batch.js'
import { type Executor, isRefusedRow } from './database.js'

/** Writes `rows`, a part of a batch that begins at the index `offset`. Returns the number of changed rows. */
export type WriteRows<Row> = (rows: Row[], offset: number) => Promise<number>

/**
 * Writes all rows that PostgreSQL does not refuse. If PostgreSQL refuses several rows, the function writes each half
 * separately, down to single rows. A savepoint keeps the transaction usable.
 *
 * @returns The number of changed rows, and the refused rows.
 */
export async function isolateRows<Row>(
  tx: Executor,
  rows: Row[],
  write: WriteRows<Row>,
): Promise<{ changedRows: number; refused: Row[] }> {
  const refused: Row[] = []
  let changedRows = 0
  async function attempt(part: Row[], offset: number): Promise<void> {
    await tx.$executeRaw`SAVEPOINT part`
    try {
      changedRows += await write(part, offset)
    } catch (error) {
      if (!isRefusedRow(error)) throw error
      await tx.$executeRaw`ROLLBACK TO SAVEPOINT part`
      if (part.length === 1) {
        refused.push(...part)
        return
      }
      const middle = Math.ceil(part.length / 2)
      await attempt(part.slice(0, middle), offset)
      await attempt(part.slice(middle), offset + middle)
    }
  }
  await attempt(rows, 0)
  return { changedRows, refused }
}

/**
 * Checks that PostgreSQL did not refuse all rows of a batch. If it refuses all, the cause is not a row, but for example
 * a trigger on the table. Reading must then stop, because otherwise all logouts would be skipped.
 *
 * @throws `DATABASE_UNAVAILABLE` if all rows were refused, and these rows come from at least two log entries.
 */
export function assertSomeAccepted({ users, sessions }: Batch, refused: { logId: string }[]): void {
  const entryCount = new Set(refused.map(({ logId }) => logId)).size
  if (refused.length < users.length + sessions.length || entryCount < 2) return
  throw new LastLogoutError(
    'DATABASE_UNAVAILABLE',
    'PostgreSQL refuses every row of a page: remove the cause, such as a trigger or a constraint on the tables last_logout and session_logout',
  )
}

/**
 * Converts a refused row to an unattributable entry, which records that a logout could not be used. The entry is in
 * ASCII, which PostgreSQL accepts in every encoding.
 */
export function toUnattributable(row: { logId: string }): Unattributable {
  return toAscii({ logId: row.logId, reason: 'not_storable', entry: JSON.stringify(row) })
}

/** Escapes all characters of the entry that are not ASCII. Replaces a log id that is not ASCII by the empty string. */
export function toAscii({ logId, reason, entry }: Unattributable): Unattributable {
  return {
    logId: /^[\x20-\x7e]*$/.test(logId) ? logId : '',
    reason,
    entry: escapeNonAscii(entry),
  }
}

/** Replaces each UTF-16 unit that is not printable ASCII by a JSON escape. */
export function escapeNonAscii(json: string): string {
  const toEscape = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  return json.replaceAll(/[^\x20-\x7e]/g, toEscape)
}
