import type { Known } from '../ports.js'
import type { Instant } from '../rules/instant.js'
import { tenantRowMissing } from './database.js'
import type { PrismaClient } from './generated/client.js'
import { timestamp } from './write-batch.js'

interface KnownRow {
  as_of: Date | null
  floor_at: Date | null
  covered: boolean
  user_at: Date | null
  all_sessions_at: Date | null
  user_log_id: string
  user_type: string
  session_at: Date | null
  ended: boolean | null
  session_log_id: string
  session_type: string
}

/** One statement, so that rows, freshness and gaps are those of one moment. */
export async function readKnown(
  prisma: PrismaClient,
  userId: string,
  sessionId: string | null,
  gapsSince: Instant,
): Promise<Known> {
  const [row] = await prisma.$queryRaw<KnownRow[]>`
    SELECT tenant.as_of, tenant.floor_at,
      tenant.sweep_to IS NULL AND NOT EXISTS (
        SELECT FROM gap WHERE to_at > ${timestamp(gapsSince)}::timestamptz
          AND to_at > COALESCE(tenant.floor_at, '-infinity')
      ) AS covered,
      u.at AS user_at, u.all_sessions_at, u.log_id AS user_log_id, u.type AS user_type,
      s.at AS session_at, s.ended, s.log_id AS session_log_id, s.type AS session_type
    FROM tenant
    LEFT JOIN last_logout u ON u.user_id = ${userId}
    LEFT JOIN session_logout s ON s.session_id = ${sessionId}`
  if (row === undefined) throw tenantRowMissing()
  const { user_at, session_at } = row
  return {
    user: user_at && {
      at: user_at.getTime(),
      allSessionsAt: instant(row.all_sessions_at),
      logId: row.user_log_id,
      type: row.user_type,
    },
    session: session_at && {
      at: session_at.getTime(),
      ended: row.ended === true,
      logId: row.session_log_id,
      type: row.session_type,
    },
    floorAt: instant(row.floor_at),
    asOf: instant(row.as_of),
    complete: row.as_of !== null && row.covered,
  }
}

/** An instant as PostgreSQL gives it. */
export function instant(date: Date | null): Instant | null {
  return date?.getTime() ?? null
}
