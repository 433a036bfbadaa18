import type { Gap, GapReason, RecordedGap } from '../rules/gap.js'
import type { Instant } from '../rules/instant.js'
import type { Executor } from './database.js'
import { timestamp, toEpoch } from './epoch.js'
import { writeFloor } from './floor.js'
import type { WriteState } from './write-batch.js'

/**
 * Stores a gap: a span of the log that Auth0 deleted before it was read. If `raisesFloor` is true, raises the floor to
 * the end of the gap, or to now if the end is in the future. The floor ends all tokens of earlier logins.
 *
 * The end of an `empty_log` gap is a time of Auth0's clock. If this time is in the future, now is stored instead. The
 * end of any other gap is the time at which Auth0 stored an entry. This end is stored unchanged.
 *
 * @returns Whether the gap is new or was extended.
 */
export async function writeGap(
  tx: Executor,
  tenant: WriteState,
  gap: Gap,
  raisesFloor: boolean,
): Promise<boolean> {
  const toOrNow = Math.min(gap.to, tenant.now)
  const to = gap.reason === 'empty_log' ? toOrNow : gap.to
  if (to <= gap.from) return false
  const isChanged = await upsertGap(tx, { ...gap, to }, tenant.now)
  if (raisesFloor) await writeFloor(tx, tenant, toOrNow)
  return isChanged
}

/**
 * Inserts a gap. If a stored gap begins at the same instant and ends earlier, replaces its end and its reason instead.
 *
 * @returns Whether a row was inserted or changed.
 */
async function upsertGap(
  tx: Executor,
  { from, to, reason }: Gap,
  detectedAt: Instant,
): Promise<boolean> {
  const changed = await tx.$executeRaw`
    INSERT INTO ${tx.tables.gap} AS stored (from_at, to_at, reason, detected_at)
    VALUES (${timestamp(from)}, ${timestamp(to)}, ${reason}, ${timestamp(detectedAt)})
    ON CONFLICT (from_at) DO UPDATE
    SET to_at = excluded.to_at, reason = excluded.reason, detected_at = excluded.detected_at
    WHERE stored.to_at < excluded.to_at`
  return changed > 0
}

interface GapRow {
  from: Instant
  to: Instant
  reason: string
  detected_at: Instant
}

/** Reads all gaps, the latest first. */
export async function readGaps(prisma: Executor): Promise<RecordedGap[]> {
  const rows = await prisma.$queryRaw<GapRow[]>`
    SELECT ${toEpoch('from_at')} AS from, ${toEpoch('to_at')} AS to, reason,
      ${toEpoch('detected_at')} AS detected_at
    FROM ${prisma.tables.gap} ORDER BY from_at DESC`
  return rows.map(({ from, to, reason, detected_at: detectedAt }) => ({
    from,
    to,
    // Only `upsertGap` writes this column, so the value is a `GapReason`.
    reason: reason as GapReason,
    detectedAt,
  }))
}
