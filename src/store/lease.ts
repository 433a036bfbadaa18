import type { Executor } from './database.js'
import { databaseClock, timestampOf } from './epoch.js'

/** Upper bound of a lease's time to live, in milliseconds. */
const MAX_LEASE_TTL_MS = 120_000

/**
 * Acquires or renews the polling lease. Only the database's clock is used, so that the clocks of the workers need not
 * agree. If a lease ends later than {@link MAX_LEASE_TTL_MS} from now, the database's clock was set back after the
 * lease was acquired. Such a lease counts as free.
 *
 * @returns False if another owner holds the lease.
 */
export async function acquireLease(tx: Executor, owner: string, ttlMs: number): Promise<boolean> {
  const fromNow = (ms: number) => timestampOf(databaseClock(), ms)
  const until = fromNow(Math.min(ttlMs, MAX_LEASE_TTL_MS))
  const acquired = await tx.$executeRaw`
    UPDATE ${tx.tables.tenant} SET lease_owner = ${owner}, lease_until = ${until}
    WHERE lease_owner = ${owner} OR lease_until IS NULL OR lease_until < clock_timestamp()
      OR lease_until > ${fromNow(MAX_LEASE_TTL_MS)}`
  return acquired === 1
}

/** Releases the polling lease, if `owner` holds it. */
export async function releaseLease(tx: Executor, owner: string): Promise<void> {
  await tx.$executeRaw`
    UPDATE ${tx.tables.tenant} SET lease_owner = NULL, lease_until = NULL WHERE lease_owner = ${owner}`
}
