import type { Instant } from '../rules/instant.js'
import type { Executor } from './database.js'
import { timestamp, toEpoch } from './epoch.js'
import type { WriteState } from './write-batch.js'

/**
 * Raises the floor: an instant for all users. Tokens are revoked unless their login is after the floor.
 *
 * @param at The new floor. `null`: now, by the clock of the database.
 * @returns The floor after the write. It can be later than `at`, because the floor never falls.
 * @throws `RangeError` if `at` is in the future.
 */
export async function raiseFloor(
  tx: Executor,
  tenant: WriteState,
  at: Instant | null,
): Promise<Instant> {
  if (at !== null && at > tenant.now) {
    throw new RangeError('the floor cannot be later than now by the clock of the database')
  }
  return writeFloor(tx, tenant, at ?? tenant.now)
}

/** Raises the floor to `at`, unless the floor is later. Returns the floor after the write. */
export async function writeFloor(tx: Executor, { seq }: WriteState, at: Instant): Promise<Instant> {
  await tx.$executeRaw`
    UPDATE ${tx.tables.tenant} SET floor_at = ${timestamp(at)}, floor_seq = ${seq + 1n}, seq = ${seq + 1n}
    WHERE floor_at IS NULL OR floor_at < ${timestamp(at)}`
  const [row] = await tx.$queryRaw<{ floor_at: Instant }[]>`
    SELECT ${toEpoch('floor_at')} AS floor_at FROM ${tx.tables.tenant}`
  return row?.floor_at ?? at
}
