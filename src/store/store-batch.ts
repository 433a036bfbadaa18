import type { Batch } from '../rules/batch.js'
import type { Span } from '../rules/span.js'
import type { Executor } from './database.js'
import { type LockedTenant, shrinkSweep } from './tenant-row.js'
import { writeBatch } from './write-batch.js'

/** Stores a batch, but does not move the checkpoint. Returns the number of changed rows. */
export async function storeBatch(
  tx: Executor,
  tenant: LockedTenant,
  batch: Batch,
): Promise<number> {
  const { seq, changedRows } = await writeBatch(tx, batch, tenant)
  await tx.$executeRaw`UPDATE ${tx.tables.tenant} SET seq = ${seq}`
  return changedRows
}

/**
 * Stores a batch of late entries, which a reconcile has found in the recent log. Adds the number of changed rows to the
 * count of reconciled rows, and returns this number.
 */
export async function storeReconciled(
  tx: Executor,
  tenant: LockedTenant,
  batch: Batch,
): Promise<number> {
  const changedRows = await storeBatch(tx, tenant, batch)
  await tx.$executeRaw`UPDATE ${tx.tables.tenant} SET reconciled = reconciled + ${changedRows}`
  return changedRows
}

/**
 * Stores the batch of `part`, the newest part of the span of the log that a sweep must still search for logouts. Then
 * removes `part` from this span.
 *
 * @returns False if the span does not end with `part`. The batch is stored, but the span does not change.
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
