import { isComplete } from '../rules/gap-state.js'
import type { Instant } from '../rules/instant.js'
import type { LogoutSnapshot } from '../rules/logout-snapshot.js'
import { type Database, type StoreClient, tenantRowMissingError } from './database.js'
import { readClock, type SqlClock, toEpoch, toEpochElement } from './epoch.js'
import { Prisma } from './generated/client.js'
import type { Tables } from './tables.js'

/** Whose logouts to read. */
export interface LogoutQuery {
  userId: string
  sessionId: string | null
}

/** The part of the database that reads snapshots. */
export type SnapshotDatabase = Pick<Database, 'queryPrepared'> & {
  prisma: Pick<StoreClient, 'tables'>
}

/** The state of the tenant, and the logouts of all queries at the same moment. */
interface SnapshotRow extends LogoutColumns {
  now: Instant
  /** The key of the keyed hashes; `null`: there are no forgotten people. */
  forget_key: string | null
  as_of: Instant | null
  floor_at: Instant | null
  is_swept: boolean
  last_gap_to: Instant | null
}

/** The columns of users and sessions. Each has one value for each query, in the order of the queries. */
interface LogoutColumns {
  /** `null`: there is no row of the user. The other columns of the user are then `null`, too. */
  user_at: (Instant | null)[]
  all_sessions_at: (Instant | null)[]
  user_log_id: string[]
  user_type: string[]
  /** `null`: there is no row of the session. The other columns of the session are then `null`, too. */
  session_at: (Instant | null)[]
  ended: boolean[]
  session_log_id: string[]
  session_type: string[]
}

/**
 * Reads the logouts of all queries in one statement, so that rows, freshness, gaps and the time on the clock belong to the
 * same moment.
 *
 * @param horizonMs How long after its login a token can be valid, in milliseconds.
 * @returns One snapshot for each query, in their order, and the key of the keyed hashes; `null`: no people were forgotten.
 * @throws `DATABASE_NOT_MIGRATED` when the tenant row is missing.
 */
export async function readSnapshots(
  { prisma, queryPrepared }: SnapshotDatabase,
  clock: SqlClock,
  queries: LogoutQuery[],
  horizonMs: number,
): Promise<{ snapshots: LogoutSnapshot[]; forgetKey: string | null }> {
  const [row] = await queryPrepared<SnapshotRow>(snapshotSql(prisma.tables, clock, queries))
  if (row === undefined) throw tenantRowMissingError()
  return { snapshots: toSnapshots(row, horizonMs), forgetKey: row.forget_key }
}

/**
 * Returns SQL that reads a {@link SnapshotRow}. `OFFSET 0` keeps the subqueries of the rows separate, so that PostgreSQL
 * cannot choose to scan a whole table for a join: for that choice it needs statistics, which are missing after a bulk
 * load. One list for each column takes a third of the time of one JSON object for each row.
 */
export function snapshotSql(
  { tenant, gap, lastLogout, sessionLogout }: Tables,
  clock: SqlClock,
  queries: LogoutQuery[],
): Prisma.Sql {
  const userIds = queries.map(({ userId }) => userId)
  const sessionIds = queries.map(({ sessionId }) => sessionId)
  return Prisma.sql`
    SELECT ${readClock(clock)} AS now,
      CASE WHEN forgotten_at IS NOT NULL THEN forget_key::text END AS forget_key,
      ${toEpoch('as_of')} AS as_of, ${toEpoch('floor_at')} AS floor_at,
      sweep_to IS NULL AS is_swept,
      (SELECT ${toEpoch('max(to_at)')} FROM ${gap}) AS last_gap_to,
      known.*
    FROM ${tenant}, (
      SELECT json_agg(user_at) AS user_at, json_agg(all_sessions_at) AS all_sessions_at,
        json_agg(user_log_id) AS user_log_id, json_agg(user_type) AS user_type,
        json_agg(session_at) AS session_at, json_agg(ended) AS ended,
        json_agg(session_log_id) AS session_log_id, json_agg(session_type) AS session_type
      FROM (
        SELECT * FROM unnest(${userIds}::text[], ${sessionIds}::text[])
          WITH ORDINALITY AS query (user_id, session_id, position)
        LEFT JOIN LATERAL (
          SELECT ${toEpochElement('at')} AS user_at,
            ${toEpochElement('all_sessions_at')} AS all_sessions_at,
            log_id AS user_log_id, type AS user_type
          FROM ${lastLogout} WHERE user_id = query.user_id OFFSET 0
        ) AS user_row ON true
        LEFT JOIN LATERAL (
          SELECT ${toEpochElement('at')} AS session_at, ended,
            log_id AS session_log_id, type AS session_type
          FROM ${sessionLogout} WHERE session_id = query.session_id OFFSET 0
        ) AS session_row ON true
        ORDER BY position
      ) AS found
    ) AS known`
}

function toSnapshots(snapshot: SnapshotRow, horizonMs: number): LogoutSnapshot[] {
  const { as_of: asOf, floor_at: floorAt, is_swept: isSwept, now } = snapshot
  const lastGapTo = snapshot.last_gap_to
  const complete = isComplete({ asOf, isSwept, lastGapTo, floorAt, now }, horizonMs)
  return snapshot.user_at.map((_, n) => ({
    user: toUser(snapshot, n),
    session: toSession(snapshot, n),
    floorAt,
    asOf,
    now,
    complete,
  }))
}

function toUser(columns: LogoutColumns, n: number): LogoutSnapshot['user'] {
  const at = valueAt(columns.user_at, n)
  if (at === null) return null
  return {
    at,
    allSessionsAt: valueAt(columns.all_sessions_at, n),
    logId: valueAt(columns.user_log_id, n),
    type: valueAt(columns.user_type, n),
  }
}

function toSession(columns: LogoutColumns, n: number): LogoutSnapshot['session'] {
  const at = valueAt(columns.session_at, n)
  if (at === null) return null
  return {
    at,
    ended: valueAt(columns.ended, n),
    logId: valueAt(columns.session_log_id, n),
    type: valueAt(columns.session_type, n),
  }
}

/** Returns a value of a column. The caller guarantees that the column has it. */
const valueAt = <Value>(column: Value[], n: number) => column[n] as Value
