import type { Gap, GapReason, RecordedGap } from '../rules/gap.js'
import type { Instant } from '../rules/instant.js'
import type { Executor } from './database.js'
import { timestamp, toEpoch } from './epoch.js'
import { writeFloor } from './floor.js'
import type { WriteState } from './write-batch.js'

/**
 * Stores a gap, and raises the floor to the end of the gap if `raisesFloor` is true. The floor is never set ahead of
 * the database's clock. The end of an `empty_log` gap comes from Auth0's clock, and is limited to the database's clock,
 * too. The end of every other gap is the storage time of an entry, and is stored even if it is ahead of that clock.
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
  const isNew = await upsertGap(tx, { ...gap, to }, tenant.now)
  if (raisesFloor) await writeFloor(tx, tenant, toOrNow)
  return isNew
}

/**
 * Inserts a gap. If a stored gap has the same beginning and an earlier end, it gets the new end and the new reason.
 * Returns whether anything changed.
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
    // Only `upsertGap` writes this column.
    reason: reason as GapReason,
    detectedAt,
  }))
}
