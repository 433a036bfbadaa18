import { batchCalls } from '../async/batch-calls.js'
import { CONNECT_TIMEOUT_MS } from '../pg/timeouts.js'
import { type Instant, later } from '../rules/instant.js'
import { createKeyedHash } from '../rules/keyed-hash.js'
import type { LogoutSnapshot } from '../rules/logout-snapshot.js'
import { isRefusedRow, query } from './database.js'
import type { SqlClock } from './epoch.js'
import { type LogoutQuery, readSnapshots, type SnapshotDatabase } from './read-snapshots.js'

/**
 * Limits of the statements that read logouts:
 *
 * - While a statement runs, further reads wait and share the next statement, because a few large statements cost less
 *   than many small statements.
 * - If a statement takes longer than `headStartMs`, the next statement starts in parallel.
 * - If `readySize` reads wait, the next statement starts at once. This process then works on the results of one
 *   statement while PostgreSQL runs another.
 * - `maxConcurrent` leaves most connections of the pool to writes and to the change feed.
 */
const BATCHES = { maxSize: 256, maxConcurrent: 4, headStartMs: 5, readySize: 24 }

/**
 * Creates a function that reads the logouts of a user and a session. Concurrent reads share a statement. If PostgreSQL
 * refuses an id, only the read of this id fails.
 *
 * @param horizonMs Maximum time from a login until its tokens expire, in milliseconds.
 * @param maxWaitMs Maximum time from a read to the start of its statement, in milliseconds. Default:
 *   {@link CONNECT_TIMEOUT_MS}.
 */
export function createLogoutReader(
  database: SnapshotDatabase,
  clock: SqlClock,
  {
    horizonMs,
    maxWaitMs = CONNECT_TIMEOUT_MS,
  }: { horizonMs: number; maxWaitMs?: number | undefined },
): (userId: string, sessionId: string | null) => Promise<LogoutSnapshot> {
  const readInBatch = batchCalls({
    run: (queries: LogoutQuery[]) => readKnownLogouts(database, clock, queries, horizonMs),
    isInputError: isRefusedRow,
    maxWaitMs,
    ...BATCHES,
  })
  return (userId, sessionId) => query(() => readInBatch({ userId, sessionId }))
}

/**
 * Reads the logouts of users and sessions by ids. If any person was forgotten, also reads the rows that contain the
 * hashes of the ids. If a person is forgotten between the two reads, the first read still finds the ids, and the second
 * read finds the hashes.
 *
 * @param horizonMs Maximum time from a login until its tokens expire, in milliseconds.
 * @returns One result for each query, in the order of the queries.
 * @throws `DATABASE_NOT_MIGRATED` if the tenant row is missing.
 */
async function readKnownLogouts(
  database: SnapshotDatabase,
  clock: SqlClock,
  queries: LogoutQuery[],
  horizonMs: number,
): Promise<LogoutSnapshot[]> {
  const byIds = await readSnapshots(database, clock, queries, horizonMs)
  if (byIds.forgetKey === null) return byIds.snapshots
  const hash = createKeyedHash(byIds.forgetKey)
  const hashedQueries = queries.map(({ userId, sessionId }) => ({
    userId: hash(userId),
    sessionId: sessionId === null ? null : hash(sessionId),
  }))
  const byHashes = await readSnapshots(database, clock, hashedQueries, horizonMs)
  return byIds.snapshots.map((byId, index) => merge(byId, byHashes.snapshots[index] ?? byId))
}

/** Merges the logouts of both reads. All other fields come from the first read, the read by ids. */
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
