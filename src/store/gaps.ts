import type { Instant } from '../rules/instant.js'
import type { Gap, GapReason, RecordedGap } from '../rules/span.js'
import { timestamp, toEpoch } from './epoch.js'
import type { PrismaClient } from './generated/client.js'
import { type LockedTenant, raiseFloor } from './tenant-row.js'
import type { Executor } from './write-batch.js'

/**
 * Records a gap, and raises the floor to its end where `raisesFloor`. The floor never lies ahead of the database's
 * clock, nor does the end of an `empty_log` gap, which is read from Auth0's clock. The end of every other gap is the
 * storage time of an entry, and is stored as it is, also where the database's clock is behind.
 */
export async function storePastGap(
  tx: Executor,
  tenant: LockedTenant,
  gap: Gap,
  raisesFloor: boolean,
): Promise<boolean> {
  const past = Math.min(gap.to, tenant.now)
  const to = gap.reason === 'empty_log' ? past : gap.to
  if (to <= gap.from) return false
  const isNews = await storeGap(tx, { ...gap, to }, tenant.now)
  if (raisesFloor) await raiseFloor(tx, tenant, past)
  return isNews
}

/** Records a gap; one that begins where another does is the same, grown. True: it is new, or has grown. */
async function storeGap(
  tx: Executor,
  { from, to, reason }: Gap,
  detectedAt: Instant,
): Promise<boolean> {
  const changed = await tx.$executeRaw`
    INSERT INTO gap AS stored (from_at, to_at, reason, detected_at)
    VALUES (${timestamp(from)}, ${timestamp(to)}, ${reason}, ${timestamp(detectedAt)})
    ON CONFLICT (from_at) DO UPDATE SET to_at = excluded.to_at, detected_at = excluded.detected_at
    WHERE stored.to_at < excluded.to_at`
  return changed > 0
}

interface GapRow {
  from: Instant
  to: Instant
  reason: string
  detected_at: Instant
}

/** Every gap, the latest first. */
export async function readGaps(prisma: PrismaClient): Promise<RecordedGap[]> {
  const rows = await prisma.$queryRaw<GapRow[]>`
    SELECT ${toEpoch('from_at')} AS from, ${toEpoch('to_at')} AS to, reason,
      ${toEpoch('detected_at')} AS detected_at
    FROM gap ORDER BY from_at DESC`
  return rows.map(({ from, to, reason, detected_at: detectedAt }) => ({
    from,
    to,
    // Nobody else writes them.
    reason: reason as GapReason,
    detectedAt,
  }))
}
