import type { Unattributable } from '../rules/batch.js'
import type { Executor } from './database.js'
import { Prisma } from './generated/client.js'
import type { Tables } from './tables.js'

/** Maximum length of a stored entry, in characters. */
const MAX_ENTRY_LENGTH = 8_192

/** Returns the text of an entry, truncated to the maximum length. */
export function truncateEntry({ entry }: Unattributable): string {
  return entry.slice(0, MAX_ENTRY_LENGTH)
}

/**
 * SQL of the id of an unattributable entry: a log entry that may be a logout and cannot be used. The SQL uses the
 * columns `log_id` and `entry`.
 */
export const UNATTRIBUTABLE_ID = Prisma.sql`CASE WHEN log_id = '' THEN md5(entry) ELSE log_id END`

/** Maximum number of stored entries per reason and day. Without a limit, anyone could fill the database. */
const MAX_PER_DAY = 1_000

/** Stores unattributable entries: see {@link unattributableParts}. */
export async function writeUnattributable(tx: Executor, rows: Unattributable[]): Promise<void> {
  const { parts, countExcess } = unattributableParts(tx.tables, rows)
  await tx.$executeRaw`WITH ${Prisma.join(parts, ', ')} ${countExcess}`
}

/** SQL of a statement that stores unattributable entries. */
interface UnattributableParts {
  /** The parts of the `WITH` of the statement. */
  parts: Prisma.Sql[]
  /** The statement after the `WITH`. It can also be a part of another `WITH`. */
  countExcess: Prisma.Sql
}

/**
 * Returns SQL that stores unattributable entries up to {@link MAX_PER_DAY}, and counts the entries beyond this limit.
 * An entry that is read several times is stored once. An entry beyond the limit is counted at each read.
 *
 * The statement must run under the lock of the tenant row, and its snapshot must contain the entries of every earlier
 * writer. The statement then needs a single count of today's entries. `MATERIALIZED` makes PostgreSQL count once, not
 * once per row.
 *
 * @param from SQL of a `FROM` item, followed by `CROSS JOIN`. If the item has no row, nothing is stored. Default: no
 *   item.
 */
export function unattributableParts(
  { unattributable, unattributableExcess }: Tables,
  rows: Unattributable[],
  from: Prisma.Sql = Prisma.empty,
): UnattributableParts {
  const received = Prisma.sql`received AS (
    SELECT DISTINCT ON (id) id, reason, entry, position FROM (
      SELECT ${UNATTRIBUTABLE_ID} AS id, reason, entry, position
      FROM ${from} unnest(
        ${rows.map((row) => row.logId)}::text[],
        ${rows.map((row) => row.reason)}::text[],
        ${rows.map(truncateEntry)}::text[]
      ) WITH ORDINALITY AS page (log_id, reason, entry, position)
    ) AS entries ORDER BY id, position)`
  const today = Prisma.sql`today AS MATERIALIZED (
    SELECT reason, count(*) AS count FROM ${unattributable} AS counted
    WHERE received_at >= date_trunc('day', now(), 'UTC')
      AND reason = ANY(${[...new Set(rows.map((row) => row.reason))]}::text[])
    GROUP BY reason)`
  const unseen = Prisma.sql`unseen AS (
    SELECT id, reason, entry,
      row_number() OVER (PARTITION BY reason ORDER BY position) + COALESCE(today.count, 0) AS rank
    FROM received LEFT JOIN today USING (reason)
    WHERE NOT EXISTS (SELECT FROM ${unattributable} AS stored WHERE stored.id = received.id))`
  const kept = Prisma.sql`kept AS (
    INSERT INTO ${unattributable} (id, reason, entry)
    SELECT id, reason, entry FROM unseen WHERE rank <= ${MAX_PER_DAY}
    ON CONFLICT (id) DO NOTHING)`
  const countExcess = Prisma.sql`
    INSERT INTO ${unattributableExcess} AS excess (reason, day, count)
    SELECT reason, (now() AT TIME ZONE 'UTC')::date, count(*)
    FROM unseen WHERE rank > ${MAX_PER_DAY} GROUP BY reason
    ON CONFLICT (reason, day) DO UPDATE SET count = excess.count + excluded.count`
  return { parts: [received, today, unseen, kept], countExcess }
}
