import type { Change, ChangesPage, ChangesQuery } from '../rules/change-feed.js'
import type { Instant } from '../rules/instant.js'
import { type Executor, tenantRowMissingError } from './database.js'
import { positionAt, readClock, type SqlClock, toEpoch } from './epoch.js'
import { Prisma } from './generated/client.js'
import type { Tables } from './tables.js'

/** A cursor contains the id of the feed and a position. */
const CURSOR = /^([0-9a-f]{12})\.(\d{1,18})$/

/**
 * SQL of the id of the feed. A copy of the database has another id: after the copy was made, the same position stands
 * for different changes in the copy and in the original.
 */
const FEED = Prisma.sql`
  left(md5(concat_ws(' ', feed_id,
    (SELECT oid FROM pg_database WHERE datname = current_database()))), 12)`

interface Row {
  now: Instant
  feed: string
  seq: bigint
  as_of: Instant | null
  changes: ChangeRow[]
}

/** A change. Columns that do not apply to this kind of change are `null`. */
interface ChangeRow {
  position: number
  kind: 'user' | 'session' | 'floor'
  user_id: string | null
  session_id: string | null
  at: Instant
  all_sessions_at: Instant | null
  ended: boolean | null
  type: string | null
  /** The key of the hashes in `user_id` and `session_id`. `null` if these columns contain ids. */
  key: string | null
}

/**
 * Reads a page of the change feed. One statement reads the changes, `as_of` and the clock at the same moment.
 *
 * @returns `null` if the cursor belongs to another feed, or is after the end of this feed.
 * @throws `DATABASE_NOT_MIGRATED` when the tenant row is missing.
 */
export async function readChanges(
  prisma: Executor,
  clock: SqlClock,
  { after, since, limit }: ChangesQuery,
): Promise<ChangesPage | null> {
  const [, feed, position = '0'] = CURSOR.exec(after ?? '') ?? []
  if (after !== null && feed === undefined) return null
  const from = BigInt(position)
  const [row] = await prisma.$queryRaw<Row[]>`
    SELECT ${readClock(clock)} AS now, ${FEED} AS feed, seq, ${toEpoch('as_of')} AS as_of, (
      SELECT coalesce(json_agg(change ORDER BY position), '[]')
      FROM (${changesAfter(prisma.tables, { from, since, limit: limit + 1 })}) AS change
    ) AS changes
    FROM ${prisma.tables.tenant}`
  if (row === undefined) throw tenantRowMissingError()
  if (after !== null && (row.feed !== feed || from > row.seq)) return null

  // The statement reads one change more than `limit`, to find out whether another page follows.
  const more = row.changes.length > limit
  const rows = row.changes.slice(0, limit)
  const lastPosition = more ? rows.at(-1)?.position : row.seq
  return {
    changes: rows.map(toChange),
    cursor: `${row.feed}.${lastPosition}`,
    // Only the last page has an `asOf`: the subscriber must first receive every change up to that instant.
    asOf: more ? null : row.as_of,
    now: row.now,
    more,
  }
}

/**
 * Returns SQL that selects the changes after the position `from`. The position of a row is the time at which the row
 * last changed. The logout can be much older.
 *
 * Rows that last changed before `since` are skipped. The floor, an instant that ends older tokens of all users, is
 * never skipped.
 */
function changesAfter(
  { lastLogout, sessionLogout, tenant }: Tables,
  { from, since, limit }: { from: bigint; since: Instant | null; limit: number },
): Prisma.Sql {
  const changedSince = since === null ? 0n : positionAt(since) - 1n
  const rowsFrom = changedSince > from ? changedSince : from
  // Only rows of forgotten people contain keyed hashes.
  const key = Prisma.sql`CASE WHEN forgotten_at IS NOT NULL THEN (SELECT forget_key::text FROM ${tenant}) END`
  const isNext = Prisma.sql`seq > ${rowsFrom} ORDER BY seq LIMIT ${limit}`
  return Prisma.sql`
    (SELECT seq AS position, 'user' AS kind, user_id, NULL AS session_id, ${toEpoch('at')} AS at,
      ${toEpoch('all_sessions_at')} AS all_sessions_at, NULL::boolean AS ended, type,
      ${key} AS key
    FROM ${lastLogout} WHERE ${isNext})
    UNION ALL
    (SELECT seq, 'session', user_id, session_id, ${toEpoch('at')}, NULL, ended, type, ${key}
    FROM ${sessionLogout} WHERE ${isNext})
    UNION ALL
    (SELECT floor_seq, 'floor', NULL, NULL, ${toEpoch('floor_at')}, NULL, NULL, NULL, NULL
    FROM ${tenant} WHERE floor_seq > ${from} AND floor_at IS NOT NULL)
    ORDER BY position LIMIT ${limit}`
}

function toChange(row: ChangeRow): Change {
  const { kind, at, ended, key, user_id: userId } = row
  const [sessionId, type] = [row.session_id ?? '', row.type ?? '']
  if (kind === 'floor') return { kind, at }
  if (kind === 'user') {
    const logout = { at, allSessionsAt: row.all_sessions_at, type }
    return key === null
      ? { kind, userId: userId ?? '', ...logout }
      : { kind: 'forgotten_user', key, userHash: userId ?? '', ...logout }
  }
  const logout = { at, ended: ended === true, type }
  return key === null
    ? { kind: 'session', sessionId, userId, ...logout }
    : { kind: 'forgotten_session', key, sessionHash: sessionId, userHash: userId, ...logout }
}
