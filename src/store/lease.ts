import type { Progress } from '../rules/progress.js'
import type { Executor } from './database.js'
import { databaseClock, type SqlClock, timestampOf } from './epoch.js'
import { type ProgressRow, progressColumns, readProgressRow } from './progress-row.js'

/** Upper bound of a lease's time to live, in milliseconds. */
const MAX_LEASE_TTL_MS = 120_000

/**
 * Acquires or renews the polling lease. Only the database's clock decides, so that the clocks of the workers need not
 * agree. If a lease ends later than {@link MAX_LEASE_TTL_MS} from now, the database's clock was set back after the
 * lease was acquired. Such a lease counts as free.
 *
 * @param clock Reads the `now` of the returned progress.
 * @returns The progress, so that a poll need not read it; `null` if another owner holds the lease.
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
    WHERE lease_owner = ${owner} OR lease_until IS NULL OR lease_until < clock_timestamp()
      OR lease_until > ${fromNow(MAX_LEASE_TTL_MS)}
    RETURNING ${progressColumns(clock)}`
  return row === undefined ? null : readProgressRow(row)
}

/** Releases the polling lease, if `owner` holds it. */
export async function releaseLease(tx: Executor, owner: string): Promise<void> {
  await tx.$executeRaw`
    UPDATE ${tx.tables.tenant} SET lease_owner = NULL, lease_until = NULL WHERE lease_owner = ${owner}`
}
