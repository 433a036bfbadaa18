import type { Unattributable } from '../rules/batch.js'
import { type Executor, isRefusedRow } from './database.js'

/** Writes rows. `offset` is the index of the first row in the batch. Returns the number of rows that moved forward. */
export type WriteRows<Row> = (rows: Row[], offset: number) => Promise<number>

/**
 * Writes rows, except for those that PostgreSQL refuses. If PostgreSQL refuses a part of the rows, each half of the
 * part is tried separately, until a refused part is a single row. A savepoint keeps the transaction usable.
 *
 * @returns The number of rows that moved forward, and the refused rows.
 */
export async function isolateRows<Row>(
  tx: Executor,
  rows: Row[],
  write: WriteRows<Row>,
): Promise<{ advanced: number; refused: Row[] }> {
  const refused: Row[] = []
  let advanced = 0
  async function attempt(part: Row[], offset: number): Promise<void> {
    await tx.$executeRaw`SAVEPOINT part`
    try {
      advanced += await write(part, offset)
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
  return { advanced, refused }
}

/** Converts a refused row to an unattributable entry of ASCII characters, which every encoding has. */
export function toUnattributable(row: { logId: string }): Unattributable {
  return toAscii({ logId: row.logId, reason: 'not_storable', entry: JSON.stringify(row) })
}

/** Escapes every character of the entry (JSON) that is not ASCII. A log id that is not ASCII becomes empty. */
export function toAscii({ logId, reason, entry }: Unattributable): Unattributable {
  const toEscape = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  return {
    logId: /^[\x20-\x7e]*$/.test(logId) ? logId : '',
    reason,
    entry: entry.replaceAll(/[^\x20-\x7e]/g, toEscape),
  }
}
