import type { Progress } from '../rules/progress.js'
import type { Executor } from './database.js'
import { databaseClock, type SqlClock, timestampOf } from './epoch.js'
import { type ProgressRow, progressColumns, readProgress, readProgressRow } from './progress-row.js'

/** Maximum time to live of a lease, in milliseconds. */
const MAX_LEASE_TTL_MS = 120_000

/**
 * Acquires or renews the lease: the exclusive right of one worker to poll. The end of the lease is a time of the
 * database's clock, because the clocks of the workers can differ.
 *
 * A lease that ends more than {@link MAX_LEASE_TTL_MS} from now counts as free: the database's clock was set back after
 * the lease was acquired.
 *
 * @param clock The clock for `now` in the returned progress.
 * @returns The progress (the state of reading the log), so that the poll needs no separate read. `null` if another
 *   owner holds the lease.
 * @throws `DATABASE_NOT_MIGRATED` if the tenant row is missing.
 */
export async function acquireLease(
  tx: Executor,
  clock: SqlClock,
  { owner, ttlMs }: { owner: string; ttlMs: number },
): Promise<Progress | null> {
  const fromNow = (ms: number) => timestampOf(databaseClock(), ms)
  const until = fromNow(Math.min(ttlMs, MAX_LEASE_TTL_MS))
  const [row] = await tx.$queryRaw<ProgressRow[]>`
    UPDATE ${tx.tables.tenant} SET lease_owner = ${owner}, lease_until = ${until}
    WHERE ${tx.tables.isOwnTenant}
      AND (lease_owner = ${owner} OR lease_until IS NULL OR lease_until < clock_timestamp()
        OR lease_until > ${fromNow(MAX_LEASE_TTL_MS)})
    RETURNING ${progressColumns(clock)}`
  if (row !== undefined) return readProgressRow(row)
  // Throws if there is no tenant row of this tenant. Otherwise, another owner holds the lease.
  await readProgress(tx, clock)
  return null
}

/** Releases the lease, if `owner` holds it. */
export async function releaseLease(tx: Executor, owner: string): Promise<void> {
  await tx.$executeRaw`
    UPDATE ${tx.tables.tenant} SET lease_owner = NULL, lease_until = NULL WHERE lease_owner = ${owner}`
}
