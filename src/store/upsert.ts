import { timestampOf } from './epoch.js'
import type { WritableBatch } from './forgotten.js'
import { Prisma } from './generated/client.js'
import type { Tables } from './tables.js'

/** Rows of users to write. */
export type Users = WritableBatch['users']
/** Rows of sessions to write. */
export type Sessions = WritableBatch['sessions']

/** SQL that gives the feed positions of the rows, and limits their instants. */
export interface RowSource {
  /** A `FROM` item, followed by `CROSS JOIN`. `seq` and `maxAt` can use its columns. Empty if both are constants. */
  from: Prisma.Sql
  /** The rows get the feed positions after this position. */
  seq: Prisma.Sql
  /** Maximum instant, in milliseconds since the epoch. A later instant of a row is replaced by this maximum. */
  maxAt: Prisma.Sql
}

/**
 * Returns SQL that writes the rows of users. A write never decreases a value of a stored row. If no value increases,
 * the row does not change.
 */
export function upsertUsers(
  { lastLogout }: Tables,
  users: Users,
  { from, seq, maxAt }: RowSource,
): Prisma.Sql {
  return Prisma.sql`
    INSERT INTO ${lastLogout} AS stored (user_id, at, all_sessions_at, log_id, type, seq, forgotten_at)
    SELECT user_id, ${timestampOf(Prisma.sql`LEAST(page.at, ${maxAt})`)},
      CASE WHEN page.all_sessions_at IS NOT NULL
        THEN ${timestampOf(Prisma.sql`LEAST(page.all_sessions_at, ${maxAt})`)} END,
      log_id, type, ${seq} + position, ${FORGOTTEN_AT}
    FROM ${from} unnest(
      ${users.map((row) => row.userId)}::text[],
      ${users.map((row) => row.at)}::float8[],
      ${users.map((row) => row.allSessionsAt)}::float8[],
      ${users.map((row) => row.logId)}::text[],
      ${users.map((row) => row.type)}::text[],
      ${users.map((row) => row.forgottenAt)}::float8[]
    ) WITH ORDINALITY AS page (user_id, at, all_sessions_at, log_id, type, forgotten_at, position)
    ON CONFLICT (user_id) DO UPDATE SET
      at = GREATEST(stored.at, excluded.at),
      all_sessions_at = GREATEST(stored.all_sessions_at, excluded.all_sessions_at),
      log_id = CASE WHEN ${EXCLUDED_IS_NEWER} THEN excluded.log_id ELSE stored.log_id END,
      type = CASE WHEN ${EXCLUDED_IS_NEWER} THEN excluded.type ELSE stored.type END,
      seq = excluded.seq
    WHERE ${EXCLUDED_IS_NEWER}
      OR excluded.all_sessions_at > COALESCE(stored.all_sessions_at, '-infinity')`
}

/** Returns SQL that writes the rows of sessions, with the rules of {@link upsertUsers}. */
export function upsertSessions(
  { sessionLogout }: Tables,
  sessions: Sessions,
  { from, seq, maxAt }: RowSource,
): Prisma.Sql {
  return Prisma.sql`
    INSERT INTO ${sessionLogout} AS stored (session_id, user_id, at, ended, log_id, type, seq, forgotten_at)
    SELECT session_id, user_id, ${timestampOf(Prisma.sql`LEAST(page.at, ${maxAt})`)}, ended, log_id, type,
      ${seq} + position, ${FORGOTTEN_AT}
    FROM ${from} unnest(
      ${sessions.map((row) => row.sessionId)}::text[],
      ${sessions.map((row) => row.userId)}::text[],
      ${sessions.map((row) => row.at)}::float8[],
      ${sessions.map((row) => row.ended)}::boolean[],
      ${sessions.map((row) => row.logId)}::text[],
      ${sessions.map((row) => row.type)}::text[],
      ${sessions.map((row) => row.forgottenAt)}::float8[]
    ) WITH ORDINALITY
      AS page (session_id, user_id, at, ended, log_id, type, forgotten_at, position)
    ON CONFLICT (session_id) DO UPDATE SET
      user_id = GREATEST(stored.user_id COLLATE "C", excluded.user_id COLLATE "C"),
      at = GREATEST(stored.at, excluded.at),
      ended = stored.ended OR excluded.ended,
      log_id = CASE WHEN ${EXCLUDED_IS_NEWER} THEN excluded.log_id ELSE stored.log_id END,
      type = CASE WHEN ${EXCLUDED_IS_NEWER} THEN excluded.type ELSE stored.type END,
      seq = excluded.seq
    WHERE ${EXCLUDED_IS_NEWER}
      OR (excluded.ended AND NOT stored.ended)
      OR excluded.user_id COLLATE "C" > COALESCE(stored.user_id, '') COLLATE "C"`
}

/**
 * SQL condition: the written logout is newer than the stored logout. In the same millisecond, the greater log id is
 * newer, as in `rules/fold.ts`.
 */
const EXCLUDED_IS_NEWER = Prisma.sql`
  (excluded.at, excluded.log_id COLLATE "C") > (stored.at, stored.log_id COLLATE "C")`

const FORGOTTEN_AT = timestampOf(Prisma.sql`page.forgotten_at`)
