import { isAhead, MAX_CLOCK_AHEAD_MS } from '../rules/freshness.js'
import type { Instant } from '../rules/instant.js'
import { clockAhead } from './clock-ahead.js'
import { readClock, type SqlClock, timestamp, timestampOf } from './epoch.js'
import { Prisma, type PrismaClient } from './generated/client.js'

/**
 * SQL that moves `as_of` forward to an instant of Auth0's clock, unless that instant is further ahead of the
 * database's clock than clocks may differ. It moves back only from such an instant.
 */
export function advanceAsOf(readTo: Instant | null, clock: SqlClock): Prisma.Sql {
  const latest = timestampOf(clock(), MAX_CLOCK_AHEAD_MS)
  const next = timestamp(readTo)
  return Prisma.sql`COALESCE(
    GREATEST(CASE WHEN as_of <= ${latest} THEN as_of END, CASE WHEN ${next} <= ${latest} THEN ${next} END),
    as_of)`
}

/** The end of the log, as it was read. */
interface CaughtUp {
  checkpoint: string | null
  askedAt: Instant
}

/**
 * Records that the log has been read to its end. Freshness does not advance while a part of the sweep is unread.
 *
 * @throws `CLOCK_AHEAD` when `askedAt` is too far ahead of the database's clock: freshness does not move.
 */
export async function storeCaughtUp(
  prisma: PrismaClient,
  clock: SqlClock,
  { checkpoint, askedAt }: CaughtUp,
): Promise<void> {
  const [row] = await prisma.$queryRaw<{ now: Instant }[]>`
    UPDATE tenant SET last_poll_at = ${timestampOf(clock())},
      as_of = CASE WHEN sweep_to IS NULL THEN ${advanceAsOf(askedAt, clock)} ELSE as_of END
    WHERE checkpoint IS NOT DISTINCT FROM ${checkpoint}
    RETURNING ${readClock(clock)} AS now`
  if (row !== undefined && isAhead(askedAt, row.now)) throw clockAhead(askedAt)
}

/** Records that every entry that was visible at `at` has been reconciled. */
export async function finishReconcile(
  prisma: PrismaClient,
  clock: SqlClock,
  at: Instant,
): Promise<void> {
  await prisma.$executeRaw`
    UPDATE tenant SET reconciled_to =
      GREATEST(reconciled_to, LEAST(${timestamp(at)}, ${timestampOf(clock())}))`
}
