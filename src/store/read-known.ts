import { isComplete } from '../rules/gap-state.js'
import type { Instant } from '../rules/instant.js'
import type { Known } from '../rules/known.js'
import { tenantRowMissing } from './database.js'
import { readClock, type SqlClock, toEpoch } from './epoch.js'
import type { PrismaClient } from './generated/client.js'

interface KnownRow {
  now: Instant
  as_of: Instant | null
  floor_at: Instant | null
  is_swept: boolean
  last_gap_to: Instant | null
  user_at: Instant | null
  all_sessions_at: Instant | null
  user_log_id: string
  user_type: string
  session_at: Instant | null
  ended: boolean | null
  session_log_id: string
  session_type: string
}

/** Whose logouts to read. */
interface KnownQuery {
  userId: string
  sessionId: string | null
  /** How long after its login a token can be valid, in milliseconds. */
  horizonMs: number
}

/**
 * Reads the logouts of a user and a session in one statement, so that rows, freshness, gaps and clock are of one
 * moment.
 *
 * @throws `DATABASE_NOT_MIGRATED` when the tenant row is missing.
 */
export async function readKnown(
  prisma: PrismaClient,
  clock: SqlClock,
  { userId, sessionId, horizonMs }: KnownQuery,
): Promise<Known> {
  const [row] = await prisma.$queryRaw<KnownRow[]>`
    SELECT ${readClock(clock)} AS now,
      ${toEpoch('tenant.as_of')} AS as_of, ${toEpoch('tenant.floor_at')} AS floor_at,
      tenant.sweep_to IS NULL AS is_swept,
      (SELECT ${toEpoch('max(to_at)')} FROM gap) AS last_gap_to,
      ${toEpoch('u.at')} AS user_at, ${toEpoch('u.all_sessions_at')} AS all_sessions_at,
      u.log_id AS user_log_id, u.type AS user_type,
      ${toEpoch('s.at')} AS session_at, s.ended, s.log_id AS session_log_id, s.type AS session_type
    FROM tenant
    LEFT JOIN last_logout u ON u.user_id = ${userId}
    LEFT JOIN session_logout s ON s.session_id = ${sessionId}`
  if (row === undefined) throw tenantRowMissing()
  const { user_at, session_at, as_of: asOf, floor_at: floorAt, now } = row
  const coverage = { asOf, isSwept: row.is_swept, lastGapTo: row.last_gap_to, floorAt, now }
  return {
    user:
      user_at === null
        ? null
        : {
            at: user_at,
            allSessionsAt: row.all_sessions_at,
            logId: row.user_log_id,
            type: row.user_type,
          },
    session:
      session_at === null
        ? null
        : {
            at: session_at,
            ended: row.ended === true,
            logId: row.session_log_id,
            type: row.session_type,
          },
    floorAt,
    asOf,
    now,
    complete: isComplete(coverage, horizonMs),
  }
}
