import { isComplete } from '../rules/gap-state.js'
import { type Instant, later } from '../rules/instant.js'
import { createKeyedHash } from '../rules/keyed-hash.js'
import type { LogoutSnapshot } from '../rules/logout-snapshot.js'
import { type Executor, tenantRowMissingError } from './database.js'
import { readClock, type SqlClock, toEpoch } from './epoch.js'

interface KnownRow {
  now: Instant
  /** The key of the keyed hashes; `null`: there are no forgotten people. */
  forget_key: string | null
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
 * Reads the logouts of a user and a session by their ids. If people were forgotten, it then reads the logouts by the
 * hashes of the ids as well. This order finds the logouts even if the person is forgotten between the two reads.
 *
 * @throws `DATABASE_NOT_MIGRATED` when the tenant row is missing.
 */
export async function readKnown(
  prisma: Executor,
  clock: SqlClock,
  query: KnownQuery,
): Promise<LogoutSnapshot> {
  const { horizonMs } = query
  const row = await readRow(prisma, clock, query)
  if (row.forget_key === null) return toKnown(row, horizonMs)
  const hash = createKeyedHash(row.forget_key)
  const { userId, sessionId } = query
  const hashes = { userId: hash(userId), sessionId: sessionId === null ? null : hash(sessionId) }
  const byHashes = toKnown(await readRow(prisma, clock, { ...query, ...hashes }), horizonMs)
  return merge(toKnown(row, horizonMs), byHashes)
}

/** Merges the rows with ids and the rows with hashes. Freshness, gaps and `now` are those of the rows with ids. */
function merge(byIds: LogoutSnapshot, byHashes: LogoutSnapshot): LogoutSnapshot {
  const ended = byIds.session?.ended === true || byHashes.session?.ended === true
  const allSessionsAt = later(
    byIds.user?.allSessionsAt ?? null,
    byHashes.user?.allSessionsAt ?? null,
  )
  const user = newer(byIds.user, byHashes.user)
  const session = newer(byIds.session, byHashes.session)
  return {
    ...byIds,
    user: user && { ...user, allSessionsAt },
    session: session && { ...session, ended },
  }
}

function newer<Logout extends { at: Instant }>(a: Logout | null, b: Logout | null): Logout | null {
  if (a === null || b === null) return a ?? b
  return a.at >= b.at ? a : b
}

/** Reads in one statement, so that rows, freshness, gaps and the time on the clock belong to the same moment. */
async function readRow(
  prisma: Executor,
  clock: SqlClock,
  { userId, sessionId }: KnownQuery,
): Promise<KnownRow> {
  const [row] = await prisma.$queryRaw<KnownRow[]>`
    SELECT ${readClock(clock)} AS now,
      CASE WHEN tenant.forgotten_at IS NOT NULL THEN tenant.forget_key::text END AS forget_key,
      ${toEpoch('tenant.as_of')} AS as_of, ${toEpoch('tenant.floor_at')} AS floor_at,
      tenant.sweep_to IS NULL AS is_swept,
      (SELECT ${toEpoch('max(to_at)')} FROM ${prisma.tables.gap}) AS last_gap_to,
      ${toEpoch('u.at')} AS user_at, ${toEpoch('u.all_sessions_at')} AS all_sessions_at,
      u.log_id AS user_log_id, u.type AS user_type,
      ${toEpoch('s.at')} AS session_at, s.ended, s.log_id AS session_log_id, s.type AS session_type
    FROM ${prisma.tables.tenant}
    LEFT JOIN ${prisma.tables.lastLogout} u ON u.user_id = ${userId}
    LEFT JOIN ${prisma.tables.sessionLogout} s ON s.session_id = ${sessionId}`
  if (row === undefined) throw tenantRowMissingError()
  return row
}

function toKnown(row: KnownRow, horizonMs: number): LogoutSnapshot {
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
