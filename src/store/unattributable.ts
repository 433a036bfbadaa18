import type { Unattributable } from '../ports.js'
import type { Prisma } from './generated/client.js'

/** What is kept of an entry, in characters. */
const KEPT_CHARACTERS = 8_192

/** How many entries are kept of a reason and a day; outsiders can cause them. */
const KEPT_A_DAY = 1_000

/**
 * Keeps entries that cannot be attributed, and counts those that there is no room for. Each is kept
 * once; one that was not kept counts as often as it is read. The caller holds the tenant row's lock:
 * what was kept today is counted once, and not for each of the rows.
 */
export async function writeUnattributable(
  tx: Pick<Prisma.TransactionClient, '$executeRaw'>,
  rows: Unattributable[],
): Promise<void> {
  await tx.$executeRaw`
    WITH page AS (
      SELECT DISTINCT ON (id) id, reason, entry, position FROM (
        SELECT CASE WHEN log_id = '' THEN md5(entry) ELSE log_id END AS id, reason, entry, position
        FROM unnest(
          ${rows.map((row) => row.logId)}::text[],
          ${rows.map((row) => row.reason)}::text[],
          ${rows.map((row) => row.entry.slice(0, KEPT_CHARACTERS))}::text[]
        ) WITH ORDINALITY AS page (log_id, reason, entry, position)
      ) AS given ORDER BY id, position
    ), today AS MATERIALIZED (
      SELECT reason, count(*) AS count FROM unattributable AS counted
      WHERE received_at >= date_trunc('day', now(), 'UTC')
        AND reason = ANY(${[...new Set(rows.map((row) => row.reason))]}::text[])
      GROUP BY reason
    ), fresh AS (
      SELECT id, reason, entry,
        row_number() OVER (PARTITION BY reason ORDER BY position) + COALESCE(today.count, 0) AS place
      FROM page LEFT JOIN today USING (reason)
      WHERE NOT EXISTS (SELECT FROM unattributable WHERE unattributable.id = page.id)
    ), kept AS (
      INSERT INTO unattributable (id, reason, entry)
      SELECT id, reason, entry FROM fresh WHERE place <= ${KEPT_A_DAY}
    )
    INSERT INTO unattributable_excess AS stored (reason, day, count)
    SELECT reason, (now() AT TIME ZONE 'UTC')::date, count(*)
    FROM fresh WHERE place > ${KEPT_A_DAY} GROUP BY reason
    ON CONFLICT (reason, day) DO UPDATE SET count = stored.count + excluded.count`
}
