import type { Batch } from '../rules/batch.js'
import type { Instant } from '../rules/instant.js'
import type { Executor } from './database.js'
import { timestampOf } from './epoch.js'
import { replaceForgotten, type WritableBatch } from './forgotten.js'
import { Prisma } from './generated/client.js'
import {
  assertSomeAccepted,
  isolateRows,
  toAscii,
  toUnattributable,
  type WriteRows,
} from './isolate-rows.js'
import { writeUnattributable } from './unattributable.js'

/** State of the tenant row when it was locked for writing. */
export interface WriteState {
  /** The highest feed position assigned so far. */
  seq: bigint
  /** The time on the clock of the database. */
  now: Instant
  /** Whether a row that PostgreSQL refuses is stored as unattributable instead of failing the batch. Default: false. */
  isolatesRows?: boolean
}

/** Result of writing a batch. */
export interface WrittenBatch {
  /** The highest feed position assigned. */
  seq: bigint
  /** Number of rows that moved forward. */
  advanced: number
}

/**
 * Moves rows forward and stores unattributable entries. An instant that is ahead of the database's clock is replaced
 * by the time on that clock, and the ids of forgotten people are replaced by keyed hashes. The caller holds the lock
 * of the tenant row, so that positions are in the order of commits.
 */
export async function writeBatch(
  tx: Executor,
  batch: Batch,
  { seq, now, isolatesRows = false }: WriteState,
): Promise<WrittenBatch> {
  if (isEmpty(batch)) return { seq, advanced: 0 }
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
    return isolated.advanced
  }
  const positionAfter = (offset: number) => seq + BigInt(offset)
  const advanced =
    (await writeRows(users, (rows, offset) => writeUsers(tx, rows, positionAfter(offset)))) +
    (await writeRows(sessions, (rows, offset) =>
      writeSessions(tx, rows, positionAfter(users.length + offset)),
    ))
  assertSomeAccepted(batch, refused)
  const received = isolatesRows ? batch.unattributable.map(toAscii) : batch.unattributable
  const unattributable = await dropForgotten([...received, ...refused.map(toUnattributable)])
  if (unattributable.length > 0) await writeUnattributable(tx, unattributable)
  return { seq: seq + BigInt(users.length + sessions.length), advanced }
}

/** Whether there is nothing to write, as for most pages of the log. */
function isEmpty({ users, sessions, unattributable }: Batch): boolean {
  return users.length + sessions.length + unattributable.length === 0
}

/**
 * Writes the rows of users, and returns the number of rows that moved forward. Each column moves forward separately. A
 * row in which no column moves forward does not change.
 */
export async function writeUsers(
  tx: Executor,
  users: WritableBatch['users'],
  seq: bigint,
): Promise<number> {
  return tx.$executeRaw`
    INSERT INTO ${tx.tables.lastLogout} AS stored (user_id, at, all_sessions_at, log_id, type, seq, forgotten_at)
    SELECT user_id, ${AT}, ${ALL_SESSIONS_AT}, log_id, type,
      ${seq}::bigint + position, ${FORGOTTEN_AT}
    FROM unnest(
      ${users.map((row) => row.userId)}::text[],
      ${users.map((row) => row.at)}::float8[],
      ${users.map((row) => row.allSessionsAt)}::float8[],
      ${users.map((row) => row.logId)}::text[],
      ${users.map((row) => row.type)}::text[],
      ${users.map((row) => row.forgottenAt)}::float8[]
    ) WITH ORDINALITY AS page (user_id, at, all_sessions_at, log_id, type, forgotten_at, position)
    ON CONFLICT (user_id) DO UPDATE SET
      at = GREATEST(stored.at, excluded.at),
      all_sessions_at = GREATEST(stored.all_sessions_at, excluded.all_sessions_at),
      log_id = CASE WHEN ${EXCLUDED_IS_NEWER} THEN excluded.log_id ELSE stored.log_id END,
      type = CASE WHEN ${EXCLUDED_IS_NEWER} THEN excluded.type ELSE stored.type END,
      seq = excluded.seq
    WHERE ${EXCLUDED_IS_NEWER}
      OR excluded.all_sessions_at > COALESCE(stored.all_sessions_at, '-infinity')`
}

/** Writes the rows of sessions, by the same rules as {@link writeUsers}. */
export async function writeSessions(
  tx: Executor,
  sessions: WritableBatch['sessions'],
  seq: bigint,
): Promise<number> {
  return tx.$executeRaw`
    INSERT INTO ${tx.tables.sessionLogout} AS stored (session_id, user_id, at, ended, log_id, type, seq, forgotten_at)
    SELECT session_id, user_id, ${AT}, ended, log_id, type, ${seq}::bigint + position, ${FORGOTTEN_AT}
    FROM unnest(
      ${sessions.map((row) => row.sessionId)}::text[],
      ${sessions.map((row) => row.userId)}::text[],
      ${sessions.map((row) => row.at)}::float8[],
      ${sessions.map((row) => row.ended)}::boolean[],
      ${sessions.map((row) => row.logId)}::text[],
      ${sessions.map((row) => row.type)}::text[],
      ${sessions.map((row) => row.forgottenAt)}::float8[]
    ) WITH ORDINALITY
      AS page (session_id, user_id, at, ended, log_id, type, forgotten_at, position)
    ON CONFLICT (session_id) DO UPDATE SET
      user_id = GREATEST(stored.user_id COLLATE "C", excluded.user_id COLLATE "C"),
      at = GREATEST(stored.at, excluded.at),
      ended = stored.ended OR excluded.ended,
      log_id = CASE WHEN ${EXCLUDED_IS_NEWER} THEN excluded.log_id ELSE stored.log_id END,
      type = CASE WHEN ${EXCLUDED_IS_NEWER} THEN excluded.type ELSE stored.type END,
      seq = excluded.seq
    WHERE ${EXCLUDED_IS_NEWER}
      OR (excluded.ended AND NOT stored.ended)
      OR excluded.user_id COLLATE "C" > COALESCE(stored.user_id, '') COLLATE "C"`
}

/** SQL condition: the new logout is newer. In the same millisecond, the greater log id is newer, as in `rules/fold.ts`. */
const EXCLUDED_IS_NEWER = Prisma.sql`
  (excluded.at, excluded.log_id COLLATE "C") > (stored.at, stored.log_id COLLATE "C")`

const AT = timestampOf(Prisma.sql`page.at`)
const ALL_SESSIONS_AT = timestampOf(Prisma.sql`page.all_sessions_at`)
const FORGOTTEN_AT = timestampOf(Prisma.sql`page.forgotten_at`)
