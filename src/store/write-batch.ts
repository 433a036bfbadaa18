import type { Batch } from '../rules/batch.js'
import type { Instant } from '../rules/instant.js'
import type { Executor } from './database.js'
import { replaceForgotten } from './forgotten.js'
import { Prisma } from './generated/client.js'
import {
  assertSomeAccepted,
  isolateRows,
  toAscii,
  toUnattributable,
  type WriteRows,
} from './isolate-rows.js'
import { writeUnattributable } from './unattributable.js'
import { type RowSource, type Sessions, type Users, upsertSessions, upsertUsers } from './upsert.js'

/** State of the tenant row when the transaction locked it. */
export interface WriteState {
  /** The last feed position that was assigned. */
  seq: bigint
  /** The time of the database's clock. */
  now: Instant
  /** Whether a row that PostgreSQL refuses is stored as unattributable. If false, the batch fails. Default: false. */
  isolatesRows?: boolean
}

/** Result of writing a batch. */
export interface WrittenBatch {
  /** The last feed position that was assigned. */
  seq: bigint
  /** Number of changed rows. */
  changedRows: number
}

/**
 * Writes the rows of a batch, and stores the unattributable entries: entries that may be logouts and cannot be used.
 * Replaces an instant in the future by the time of the database's clock, and the ids of forgotten people by keyed
 * hashes.
 *
 * The caller must hold the lock of the tenant row, so that feed positions are in the order of commits.
 */
export async function writeBatch(
  tx: Executor,
  batch: Batch,
  { seq, now, isolatesRows = false }: WriteState,
): Promise<WrittenBatch> {
  if (isEmpty(batch)) return { seq, changedRows: 0 }
  const limitToNow = (at: Instant) => Math.min(at, now)
  const { users, sessions, dropForgotten } = await replaceForgotten(tx, {
    ...batch,
    users: batch.users.map((row) => ({
      ...row,
      at: limitToNow(row.at),
      allSessionsAt: row.allSessionsAt === null ? null : limitToNow(row.allSessionsAt),
    })),
    sessions: batch.sessions.map((row) => ({ ...row, at: limitToNow(row.at) })),
  })
  const refused: { logId: string }[] = []
  const writeRows = async <Row extends { logId: string }>(rows: Row[], write: WriteRows<Row>) => {
    if (rows.length === 0) return 0
    if (!isolatesRows) return write(rows, 0)
    const isolated = await isolateRows(tx, rows, write)
    refused.push(...isolated.refused)
    return isolated.changedRows
  }
  const positionAfter = (offset: number) => seq + BigInt(offset)
  const changedRows =
    (await writeRows(users, (rows, offset) => writeUsers(tx, rows, positionAfter(offset)))) +
    (await writeRows(sessions, (rows, offset) =>
      writeSessions(tx, rows, positionAfter(users.length + offset)),
    ))
  assertSomeAccepted(batch, refused)
  const received = isolatesRows ? batch.unattributable.map(toAscii) : batch.unattributable
  const unattributable = await dropForgotten([...received, ...refused.map(toUnattributable)])
  if (unattributable.length > 0) await writeUnattributable(tx, unattributable)
  return { seq: seq + BigInt(users.length + sessions.length), changedRows }
}

/** Whether the batch has nothing to write. Most pages of the log contain no logout. */
function isEmpty({ users, sessions, unattributable }: Batch): boolean {
  return users.length + sessions.length + unattributable.length === 0
}

/** Writes the rows of users at the positions after `seq`. Returns the number of changed rows. */
export async function writeUsers(tx: Executor, users: Users, seq: bigint): Promise<number> {
  return tx.$executeRaw(upsertUsers(tx.tables, users, positionsAfter(seq)))
}

/** Writes the rows of sessions, with the rules of {@link writeUsers}. */
export async function writeSessions(
  tx: Executor,
  sessions: Sessions,
  seq: bigint,
): Promise<number> {
  return tx.$executeRaw(upsertSessions(tx.tables, sessions, positionsAfter(seq)))
}

function positionsAfter(seq: bigint): RowSource {
  return {
    from: Prisma.empty,
    seq: Prisma.sql`${seq}::bigint`,
    maxAt: Prisma.sql`'infinity'::float8`,
  }
}
