import type { Batch } from '../rules/batch.js'
import type { Span } from '../rules/span.js'
import type { Executor } from './database.js'
import { type LockedTenant, shrinkSweep } from './tenant-row.js'
import { writeBatch } from './write-batch.js'

/** Stores entries without moving the checkpoint. Returns the number of rows that moved forward. */
export async function storeBatch(
  tx: Executor,
  tenant: LockedTenant,
  batch: Batch,
): Promise<number> {
  const { seq, advanced } = await writeBatch(tx, batch, tenant)
  await tx.$executeRaw`UPDATE ${tx.tables.tenant} SET seq = ${seq}`
  return advanced
}

/**
 * Stores entries that a reconcile found. Does the same as {@link storeBatch}, and adds the number of rows that moved
 * forward to the count of reconciled rows.
 */
export async function storeReconciled(
  tx: Executor,
  tenant: LockedTenant,
  batch: Batch,
): Promise<number> {
  const advanced = await storeBatch(tx, tenant, batch)
  await tx.$executeRaw`UPDATE ${tx.tables.tenant} SET reconciled = reconciled + ${advanced}`
  return advanced
}

/**
 * Stores the rows of a part of the sweep, and removes the part from the span that remains to be swept. If the remaining
 * span does not end with this part, stores the rows but returns false.
 */
export async function storeSweep(
  tx: Executor,
  tenant: LockedTenant,
  batch: Batch,
  part: Span,
): Promise<boolean> {
  await storeBatch(tx, tenant, batch)
  return shrinkSweep(tx, part)
}
