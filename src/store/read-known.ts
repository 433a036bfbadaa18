import type { Instant } from '../rules/instant.js'
import { createKeyedHash } from '../rules/keyed-hash.js'
import type { Known } from '../rules/known.js'
import { tenantRowMissing } from './database.js'
import { readClock, type SqlClock, timestampOf, toEpoch } from './epoch.js'
import { Prisma, type PrismaClient } from './generated/client.js'

interface KnownRow {
  now: Instant
  forget_key: string
  is_forgetting: boolean
  as_of: Instant | null
  floor_at: Instant | null
  covered: boolean
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
  /** How long a gap can affect valid tokens, in milliseconds. */
  horizonMs: number
}

/**
 * Reads the logouts of a user and a session. If people were forgotten, it reads again, with the hashes of the ids too:
 * the row of the one and the row of the other count together.
 *
 * @throws `DATABASE_NOT_MIGRATED` when the tenant row is missing.
 */
export async function readKnown(
  prisma: PrismaClient,
  clock: SqlClock,
  { userId, sessionId, horizonMs }: KnownQuery,
): Promise<Known> {
  const sessionIds = sessionId === null ? [] : [sessionId]
  const read = (userIds: string[], sessions: string[]) =>
    readRow(prisma, clock, { userIds, sessionIds: sessions, horizonMs })
  const row = await read([userId], sessionIds)
  if (!row.is_forgetting) return toKnown(row)
  const hash = createKeyedHash(row.forget_key)
  return toKnown(
    await read([userId, hash(userId)], [...sessionIds, ...sessionIds.map((id) => hash(id))]),
  )
}

interface RowQuery {
  userIds: string[]
  sessionIds: string[]
  horizonMs: number
}

/** Reads in one statement, so that rows, freshness, gaps and clock are of one moment. */
async function readRow(
  prisma: PrismaClient,
  clock: SqlClock,
  { userIds, sessionIds, horizonMs }: RowQuery,
): Promise<KnownRow> {
  const [row] = await prisma.$queryRaw<KnownRow[]>`
    SELECT ${readClock(clock)} AS now,
      tenant.forget_key::text, tenant.forgotten_at IS NOT NULL AS is_forgetting,
      ${toEpoch('tenant.as_of')} AS as_of, ${toEpoch('tenant.floor_at')} AS floor_at,
      tenant.sweep_to IS NULL AND NOT EXISTS (
        SELECT FROM gap WHERE to_at > ${timestampOf(clock(), -horizonMs)}
          AND to_at > COALESCE(tenant.floor_at, '-infinity')
      ) AS covered,
      ${toEpoch('u.at')} AS user_at, ${toEpoch('u.all_sessions_at')} AS all_sessions_at,
      u.log_id AS user_log_id, u.type AS user_type,
      ${toEpoch('s.at')} AS session_at, s.ended, s.log_id AS session_log_id, s.type AS session_type
    FROM tenant
    LEFT JOIN LATERAL (
      SELECT max(at) AS at, max(all_sessions_at) AS all_sessions_at,
        (array_agg(log_id ORDER BY ${NEWEST_FIRST}))[1] AS log_id,
        (array_agg(type ORDER BY ${NEWEST_FIRST}))[1] AS type
      FROM last_logout WHERE user_id = ANY(${userIds}::text[])
    ) u ON true
    LEFT JOIN LATERAL (
      SELECT max(at) AS at, bool_or(ended) AS ended,
        (array_agg(log_id ORDER BY ${NEWEST_FIRST}))[1] AS log_id,
        (array_agg(type ORDER BY ${NEWEST_FIRST}))[1] AS type
      FROM session_logout WHERE session_id = ANY(${sessionIds}::text[])
    ) s ON true`
  if (row === undefined) throw tenantRowMissing()
  return row
}

/** In the same millisecond the log id decides, as in `write-batch.ts`. */
const NEWEST_FIRST = Prisma.sql`at DESC, log_id COLLATE "C" DESC`

function toKnown(row: KnownRow): Known {
  const { user_at, session_at } = row
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
    floorAt: row.floor_at,
    asOf: row.as_of,
    now: row.now,
    complete: row.as_of !== null && row.covered,
  }
}
