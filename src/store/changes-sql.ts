import type { ChangeColumns } from '../rules/change-feed.js'
import type { Instant } from '../rules/instant.js'
import { positionAt, toEpochElement } from './epoch.js'
import { Prisma } from './generated/client.js'
import type { Tables } from './tables.js'

/** The range of a page: at most `limit` changes after the position `from`. */
export interface ChangeRange {
  from: bigint
  since: Instant | null
  limit: number
}

/** Returns SQL that reads a page of changes. */
export function pageOfChanges(tables: Tables, range: ChangeRange): Prisma.Sql {
  return Prisma.sql`
    SELECT count(*)::int AS count, NULL::bigint AS last_position,
      coalesce(json_agg(change ORDER BY position), '[]') AS changes, NULL AS columns
    FROM (SELECT ${changeFields(tables)} FROM (${rowsIn(tables, range)}) AS page_row) AS change`
}

/** Returns SQL that reads a page of changes. Those of users and sessions are in {@link ChangeColumns}. */
export function pageInColumns(tables: Tables, range: ChangeRange): Prisma.Sql {
  return Prisma.sql`
    SELECT count(*)::int AS count, max(position) AS last_position,
      coalesce(json_agg((SELECT change FROM (SELECT ${changeFields(tables)}) AS change))
        FILTER (WHERE is_forgotten OR kind = 'floor'), '[]') AS changes,
      json_build_object(
        'users', json_build_object(
          'user_id', ${column('user', Prisma.sql`user_id`)},
          'at_ms', ${column('user', toEpochElement('at'))},
          'all_sessions_at_ms', ${column('user', toEpochElement('all_sessions_at'))}),
        'sessions', json_build_object(
          'session_id', ${column('session', Prisma.sql`session_id`)},
          'user_id', ${column('session', Prisma.sql`user_id`)},
          'at_ms', ${column('session', toEpochElement('at'))},
          'ended', ${column('session', Prisma.sql`ended`)}))::text AS columns
    FROM (${rowsIn(tables, range)}) AS page_row`
}

/**
 * Returns SQL that aggregates an expression over the changes of one kind. All these arrays have the same order. The
 * expression must be scalar: between records, `json_agg` inserts line feeds, which would end the `data` of the event.
 */
function column(kind: 'user' | 'session', expression: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`
    coalesce(json_agg(${expression}) FILTER (WHERE kind = ${kind} AND NOT is_forgotten), '[]')`
}

/**
 * Returns SQL that selects the changes after the position `from`. The position of a row is the time at which the row
 * last changed. The logout can be much older.
 *
 * Rows that last changed before `since` are skipped. The floor, an instant that ends older tokens of all users, is
 * never skipped.
 */
function rowsIn(
  { lastLogout, sessionLogout, tenant }: Tables,
  { from, since, limit }: ChangeRange,
): Prisma.Sql {
  const changedSince = since === null ? 0n : positionAt(since) - 1n
  const rowsFrom = changedSince > from ? changedSince : from
  const isNext = Prisma.sql`seq > ${rowsFrom} ORDER BY seq LIMIT ${limit}`
  return Prisma.sql`
    (SELECT seq AS position, 'user' AS kind, user_id, NULL AS session_id, at, all_sessions_at,
      NULL::boolean AS ended, type, forgotten_at IS NOT NULL AS is_forgotten
    FROM ${lastLogout} WHERE ${isNext})
    UNION ALL
    (SELECT seq, 'session', user_id, session_id, at, NULL, ended, type, forgotten_at IS NOT NULL
    FROM ${sessionLogout} WHERE ${isNext})
    UNION ALL
    (SELECT floor_seq, 'floor', NULL, NULL, floor_at, NULL, NULL, NULL, false
    FROM ${tenant} WHERE floor_seq > ${from} AND floor_at IS NOT NULL)
    ORDER BY position LIMIT ${limit}`
}

/** Returns SQL of the fields of a {@link ChangeRow}. */
function changeFields({ tenant }: Tables): Prisma.Sql {
  // Only rows of forgotten people contain keyed hashes.
  return Prisma.sql`
    position, kind, user_id, session_id, ${toEpochElement('at')} AS at,
    ${toEpochElement('all_sessions_at')} AS all_sessions_at, ended, type,
    CASE WHEN is_forgotten THEN (SELECT forget_key::text FROM ${tenant}) END AS key`
}
