import { MAX_CLOCK_AHEAD_MS } from '../rules/freshness.js'
import type { Instant } from '../rules/instant.js'
import type { Progress } from '../rules/progress.js'
import type { Executor } from './database.js'
import { type SqlClock, timestamp, timestampOf } from './epoch.js'
import { Prisma } from './generated/client.js'
import { type ProgressRow, progressColumns, readProgressRow } from './progress-row.js'

/**
 * Returns SQL of the next `as_of`, the instant up to which the log has been read. The SQL moves `as_of` forward to
 * `readTo`, an instant of Auth0's clock.
 *
 * The SQL ignores a `readTo` that is more than {@link MAX_CLOCK_AHEAD_MS} ahead of the database's clock. `as_of` moves
 * back if the stored value is that far ahead, and never otherwise.
 */
export function advanceAsOf(readTo: Instant | null, clock: SqlClock): Prisma.Sql {
  const latest = timestampOf(clock(), MAX_CLOCK_AHEAD_MS)
  const next = timestamp(readTo)
  return Prisma.sql`COALESCE(
    GREATEST(CASE WHEN as_of <= ${latest} THEN as_of END, CASE WHEN ${next} <= ${latest} THEN ${next} END),
    as_of)`
}

/** A response of Auth0 that showed the end of the log. */
interface CaughtUp {
  /** The log id at the end of the log; `null` if the log is empty. */
  checkpoint: string | null
  /** When the response was requested, by Auth0's clock. */
  requestedAt: Instant
}

/**
 * Records that the log has been read to its end. Advances `as_of` to `requestedAt`, unless `requestedAt` is too far
 * ahead of the database's clock, or a sweep (a search of an older span of the log) is incomplete.
 *
 * @returns The progress after the write. `null` if the stored checkpoint is not `checkpoint`: nothing was written.
 */
export async function storeCaughtUp(
  tx: Executor,
  clock: SqlClock,
  { checkpoint, requestedAt }: CaughtUp,
): Promise<Progress | null> {
  const [row] = await tx.$queryRaw<ProgressRow[]>`
    UPDATE ${tx.tables.tenant} SET last_poll_at = ${timestampOf(clock())},
      as_of = CASE WHEN sweep_to IS NULL THEN ${advanceAsOf(requestedAt, clock)} ELSE as_of END
    WHERE checkpoint IS NOT DISTINCT FROM ${checkpoint} AND ${tx.tables.isOwnTenant}
    RETURNING ${progressColumns(clock)}`
  return row === undefined ? null : readProgressRow(row)
}

/** Records that a reconcile (a repeated search of the recent log) has covered all entries that were visible at `at`. */
export async function finishReconcile(tx: Executor, clock: SqlClock, at: Instant): Promise<void> {
  await tx.$executeRaw`
    UPDATE ${tx.tables.tenant} SET reconciled_to =
      GREATEST(reconciled_to, LEAST(${timestamp(at)}, ${timestampOf(clock())}))
    WHERE ${tx.tables.isOwnTenant}`
}

/** Records when reading of the log began. The first reconcile covers the entries that became visible after `at`. */
export async function startReconciling(tx: Executor, clock: SqlClock, at: Instant): Promise<void> {
  await tx.$executeRaw`
    UPDATE ${tx.tables.tenant} SET reconciled_to =
      COALESCE(reconciled_to, LEAST(${timestamp(at)}, ${timestampOf(clock())}))`
}
