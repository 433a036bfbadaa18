import type { Instant } from '../rules/instant.js'
import { type Progress, toProgress } from '../rules/progress.js'
import { type Executor, tenantRowMissingError } from './database.js'
import { readClock, type SqlClock, toEpoch } from './epoch.js'
import { Prisma } from './generated/client.js'

/** The columns of {@link progressColumns}. */
export interface ProgressRow {
  checkpoint: string | null
  as_of: Instant | null
  sweep_from: Instant | null
  sweep_to: Instant | null
  floor_at: Instant | null
  last_poll_at: Instant | null
  reconciled_to: Instant | null
  now: Instant
}

/** Returns SQL of the columns that {@link readProgressRow} needs, for a `SELECT` or `RETURNING` of the tenant row. */
export function progressColumns(clock: SqlClock): Prisma.Sql {
  return Prisma.sql`checkpoint, ${toEpoch('as_of')} AS as_of, ${toEpoch('sweep_from')} AS sweep_from,
    ${toEpoch('sweep_to')} AS sweep_to, ${toEpoch('floor_at')} AS floor_at,
    ${toEpoch('last_poll_at')} AS last_poll_at, ${toEpoch('reconciled_to')} AS reconciled_to,
    ${readClock(clock)} AS now`
}

/** Converts a row with the columns of {@link progressColumns}. */
export function readProgressRow(row: ProgressRow): Progress {
  const { checkpoint, sweep_from: from, sweep_to: to } = row
  return toProgress({
    checkpoint,
    asOf: row.as_of,
    sweep: from === null || to === null ? null : { from, to },
    floorAt: row.floor_at,
    lastPollAt: row.last_poll_at,
    reconciledTo: row.reconciled_to,
    now: row.now,
  })
}

/**
 * Reads the progress: the state of reading the log.
 *
 * @throws `DATABASE_NOT_MIGRATED` if the tenant row is missing.
 */
export async function readProgress(prisma: Executor, clock: SqlClock): Promise<Progress> {
  const [row] = await prisma.$queryRaw<ProgressRow[]>`
    SELECT ${progressColumns(clock)} FROM ${prisma.tables.tenant} WHERE ${prisma.tables.isOwnTenant}`
  if (row === undefined) throw tenantRowMissingError()
  return readProgressRow(row)
}
