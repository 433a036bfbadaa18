import { batchCalls } from '../async/batch-calls.js'
import { CONNECT_TIMEOUT_MS } from '../pg/timeouts.js'
import { isComplete } from '../rules/gap-state.js'
import { type Instant, later } from '../rules/instant.js'
import { createKeyedHash } from '../rules/keyed-hash.js'
import type { LogoutSnapshot } from '../rules/logout-snapshot.js'
import { type Executor, isRefusedRow, tenantRowMissingError } from './database.js'
import { readClock, type SqlClock, toEpoch } from './epoch.js'
import { Prisma } from './generated/client.js'
import type { Tables } from './tables.js'

/** The columns of a user and of a session. */
interface LogoutRow {
  at: Instant
  log_id: string
  type: string
}

/** The rows of one query; `null`: there is no row. */
interface Rows {
  user: (LogoutRow & { all_sessions_at: Instant | null }) | null
  session: (LogoutRow & { ended: boolean }) | null
}

/** The rows of all queries, and the state of the tenant at the same moment. */
interface SnapshotRow {
  now: Instant
  /** The key of the keyed hashes; `null`: there are no forgotten people. */
  forget_key: string | null
  as_of: Instant | null
  floor_at: Instant | null
  is_swept: boolean
  last_gap_to: Instant | null
  /** In the order of the queries. */
  rows: Rows[]
}

/** Whose logouts to read. */
interface LogoutQuery {
  userId: string
  sessionId: string | null
}

/**
 * Size and concurrency of the statements that read last logouts. The statements leave most connections of the pool to
 * writes and to the change feed.
 */
const BATCHES = { maxSize: 256, maxConcurrent: 4 }

/**
 * Creates a function that reads the logouts of a user and a session. Concurrent reads share a statement, and its cost. A
 * read whose ids PostgreSQL refuses fails alone.
 *
 * @param maxWaitMs Upper bound of the wait for a statement, in milliseconds. Default: {@link CONNECT_TIMEOUT_MS}.
 */
export function createLogoutReader(
  prisma: Executor,
  clock: SqlClock,
  {
    horizonMs,
    maxWaitMs = CONNECT_TIMEOUT_MS,
  }: { horizonMs: number; maxWaitMs?: number | undefined },
): (query: LogoutQuery) => Promise<LogoutSnapshot> {
  return batchCalls({
    run: (queries: LogoutQuery[]) => readKnownLogouts(prisma, clock, queries, horizonMs),
    isInputError: isRefusedRow,
    maxWaitMs,
    ...BATCHES,
  })
}

/**
 * Reads the logouts of users and sessions by their ids. If people were forgotten, it then reads the logouts by the
 * hashes of the ids as well. This order finds the logouts even if the person is forgotten between the two reads.
 *
 * @param horizonMs How long after its login a token can be valid, in milliseconds.
 * @returns One result for each query, in the order of the queries.
 * @throws `DATABASE_NOT_MIGRATED` when the tenant row is missing.
 */
async function readKnownLogouts(
  prisma: Executor,
  clock: SqlClock,
  queries: LogoutQuery[],
  horizonMs: number,
): Promise<LogoutSnapshot[]> {
  const byIds = await readSnapshot(prisma, clock, queries)
  const snapshots = toSnapshots(byIds, horizonMs)
  if (byIds.forget_key === null) return snapshots
  const hash = createKeyedHash(byIds.forget_key)
  const hashedQueries = queries.map(({ userId, sessionId }) => ({
    userId: hash(userId),
    sessionId: sessionId === null ? null : hash(sessionId),
  }))
  const byHashes = toSnapshots(await readSnapshot(prisma, clock, hashedQueries), horizonMs)
  return snapshots.map((snapshot, index) => merge(snapshot, byHashes[index] ?? snapshot))
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

/**
 * Reads in one statement, so that rows, freshness, gaps and the time on the clock belong to the same moment. Each row
 * is read by a subquery, not by a join: without statistics, as after a bulk load, PostgreSQL could scan the whole table
 * for a join.
 */
async function readSnapshot(
  prisma: Executor,
  clock: SqlClock,
  queries: LogoutQuery[],
): Promise<SnapshotRow> {
  const [snapshot] = await prisma.$queryRaw<SnapshotRow[]>(
    snapshotSql(prisma.tables, clock, queries),
  )
  if (snapshot === undefined) throw tenantRowMissingError()
  return snapshot
}

/** Returns SQL that reads a {@link SnapshotRow}. */
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
      (
        SELECT json_agg(json_build_object(
          'user', (
            SELECT json_build_object('at', ${toEpoch('at')},
              'all_sessions_at', ${toEpoch('all_sessions_at')}, 'log_id', log_id, 'type', type)
            FROM ${lastLogout} AS u WHERE u.user_id = query.user_id),
          'session', (
            SELECT json_build_object('at', ${toEpoch('at')}, 'ended', ended,
              'log_id', log_id, 'type', type)
            FROM ${sessionLogout} AS s WHERE s.session_id = query.session_id)
        ) ORDER BY query.n)
        FROM unnest(${userIds}::text[], ${sessionIds}::text[])
          WITH ORDINALITY AS query (user_id, session_id, n)
      ) AS rows
    FROM ${tenant}`
}

function toSnapshots(snapshot: SnapshotRow, horizonMs: number): LogoutSnapshot[] {
  const {
    as_of: asOf,
    floor_at: floorAt,
    is_swept: isSwept,
    last_gap_to: lastGapTo,
    now,
  } = snapshot
  const complete = isComplete({ asOf, isSwept, lastGapTo, floorAt, now }, horizonMs)
  return snapshot.rows.map(({ user, session }) => ({
    user: user && {
      at: user.at,
      allSessionsAt: user.all_sessions_at,
      logId: user.log_id,
      type: user.type,
    },
    session: session && {
      at: session.at,
      ended: session.ended,
      logId: session.log_id,
      type: session.type,
    },
    floorAt,
    asOf,
    now,
    complete,
  }))
}
