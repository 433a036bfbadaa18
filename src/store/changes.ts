import type { Change, ChangesPage, ChangesQuery } from '../rules/change-feed.js'
import type { Instant } from '../rules/instant.js'
import { pageInColumns, pageOfChanges } from './changes-sql.js'
import { type Executor, tenantRowMissingError } from './database.js'
import { readClock, type SqlClock, toEpoch } from './epoch.js'
import { Prisma } from './generated/client.js'

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
  /** Number of changes in the page. */
  count: number
  /** Position of the last change in a page in columns. */
  last_position: bigint | null
  changes: ChangeRow[]
  /** `null`: all changes are in `changes`. */
  columns: string | null
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
  { after, since, limit, inColumns = false }: ChangesQuery,
): Promise<ChangesPage | null> {
  const [, feed, position = '0'] = CURSOR.exec(after ?? '') ?? []
  if (after !== null && feed === undefined) return null
  const from = BigInt(position)
  const { tables } = prisma
  // The statement reads one change more than `limit`, to find out whether another page follows.
  const range = { from, since, limit: limit + 1 }
  const [row] = await prisma.$queryRaw<Row[]>`
    SELECT ${readClock(clock)} AS now, ${FEED} AS feed, seq, ${toEpoch('as_of')} AS as_of, page.*
    FROM ${tables.tenant},
      LATERAL (${inColumns ? pageInColumns(tables, range) : pageOfChanges(tables, range)}) AS page
    WHERE ${tables.isOwnTenant}`
  if (row === undefined) throw tenantRowMissingError()
  if (after !== null && (row.feed !== feed || from > row.seq)) return null

  const { columns } = row
  const more = row.count > limit
  // A page in columns contains the additional change, too.
  const changes = (inColumns ? row.changes : row.changes.slice(0, limit)).map(toChange)
  const lastPosition = inColumns ? row.last_position : row.changes[limit - 1]?.position
  return {
    changes,
    ...(columns !== null && row.count > changes.length && { columns }),
    cursor: `${row.feed}.${more ? lastPosition : row.seq}`,
    // Only the last page has an `asOf`: the subscriber must first receive every change up to that instant.
    asOf: more ? null : row.as_of,
    now: row.now,
    more,
  }
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
