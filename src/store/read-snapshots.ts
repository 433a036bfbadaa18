import { isComplete } from '../rules/gap-state.js'
import type { Instant } from '../rules/instant.js'
import type { LogoutSnapshot } from '../rules/logout-snapshot.js'
import { type Database, type StoreClient, tenantRowMissingError } from './database.js'
import { readClock, type SqlClock, toEpoch, toEpochElement } from './epoch.js'
import { Prisma } from './generated/client.js'
import type { Tables } from './tables.js'

/** The user and the session whose logouts are read. */
export interface LogoutQuery {
  userId: string
  sessionId: string | null
}

/** The part of the database that this module uses. */
export type SnapshotDatabase = Pick<Database, 'queryPrepared'> & {
  prisma: Pick<StoreClient, 'tables'>
}

/** The state of the tenant, and the logouts of all queries, at one moment. */
interface SnapshotRow {
  now: Instant
  /** The key of the keyed hashes; `null` if no person was forgotten. */
  forget_key: string | null
  as_of: Instant | null
  floor_at: Instant | null
  is_swept: boolean
  last_gap_to: Instant | null
  /** In the order of the queries. */
  logouts: LogoutValues[]
}

/** The row of a user, then the row of a session. The values of a missing row are `null`. */
type LogoutValues = [
  userAt: Instant | null,
  allSessionsAt: Instant | null,
  userLogId: string,
  userType: string,
  sessionAt: Instant | null,
  ended: boolean,
  sessionLogId: string,
  sessionType: string,
]

/**
 * Reads the logouts of all queries in one statement, so that the rows, `as_of`, the gaps and the time belong to the
 * same moment.
 *
 * @param horizonMs Maximum time from a login until its tokens expire, in milliseconds.
 * @returns One snapshot for each query, in the order of the queries. `forgetKey` is the key of the keyed hashes, or
 *   `null` if no person was forgotten.
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
 * Returns SQL that reads a {@link SnapshotRow}. Without `OFFSET 0`, PostgreSQL would turn the subqueries into joins. It
 * could then scan a whole table, because its statistics are missing after a bulk load. JSON arrays take less time than
 * JSON objects, in PostgreSQL and in the JSON parser.
 */
export function snapshotSql(
  { tenant, isOwnTenant, gap, lastLogout, sessionLogout }: Tables,
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
      (
        SELECT json_agg(json_build_array(
          ${toEpochElement('u.at')}, ${toEpochElement('u.all_sessions_at')}, u.log_id, u.type,
          ${toEpochElement('s.at')}, s.ended, s.log_id, s.type
        ) ORDER BY position)
        FROM unnest(${userIds}::text[], ${sessionIds}::text[])
          WITH ORDINALITY AS query (user_id, session_id, position)
        LEFT JOIN LATERAL (
          SELECT * FROM ${lastLogout} WHERE user_id = query.user_id OFFSET 0
        ) AS u ON true
        LEFT JOIN LATERAL (
          SELECT * FROM ${sessionLogout} WHERE session_id = query.session_id OFFSET 0
        ) AS s ON true
      ) AS logouts
    FROM ${tenant} WHERE ${isOwnTenant}`
}

function toSnapshots(row: SnapshotRow, horizonMs: number): LogoutSnapshot[] {
  const { as_of: asOf, floor_at: floorAt, is_swept: isSwept, last_gap_to: lastGapTo, now } = row
  const complete = isComplete({ asOf, isSwept, lastGapTo, floorAt, now }, horizonMs)
  return row.logouts.map((values) => {
    const [at, allSessionsAt, logId, type, sessionAt, ended, sessionLogId, sessionType] = values
    return {
      user: at === null ? null : { at, allSessionsAt, logId, type },
      session:
        sessionAt === null
          ? null
          : { at: sessionAt, ended, logId: sessionLogId, type: sessionType },
      floorAt,
      asOf,
      now,
      complete,
    }
  })
}
