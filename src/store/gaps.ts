import type { Gap, GapReason, RecordedGap } from '../rules/span.js'
import type { PrismaClient } from './generated/client.js'
import { type Executor, timestamp } from './write-batch.js'

/** Records a gap; one that begins where another does is the same, grown. True: it is new, or has grown. */
export async function storeGap(tx: Executor, { from, to, reason }: Gap): Promise<boolean> {
  const changed = await tx.$executeRaw`
    INSERT INTO gap AS stored (from_at, to_at, reason)
    VALUES (${timestamp(from)}::timestamptz, ${timestamp(to)}::timestamptz, ${reason})
    ON CONFLICT (from_at) DO UPDATE SET to_at = excluded.to_at, detected_at = now()
    WHERE stored.to_at < excluded.to_at`
  return changed > 0
}

/** Every gap, the latest first. */
export async function readGaps(prisma: PrismaClient): Promise<RecordedGap[]> {
  const rows = await prisma.gap.findMany({ orderBy: { from: 'desc' } })
  return rows.map(({ from, to, reason, detectedAt }) => ({
    from: from.getTime(),
    to: to.getTime(),
    // Nobody else writes them.
    reason: reason as GapReason,
    detectedAt: detectedAt.getTime(),
  }))
}
