import type { LastLogoutError } from '../errors.js'

import type { Batch, PageToStore } from '../rules/batch.js'
import { isAhead } from '../rules/freshness.js'
import type { Span } from '../rules/span.js'
import { clockAheadError } from './clock-ahead.js'
import type { Executor } from './database.js'
import { type SqlClock, timestampOf } from './epoch.js'
import { advanceAsOf } from './freshness.js'
import { type LockedTenant, shrinkSweep } from './tenant-row.js'
import { writeBatch } from './write-batch.js'

/**
 * Stores a page. If the storage time of its last entry is too far ahead of the database's clock, the logouts are stored
 * with instants that are too early, and the checkpoint does not move. After the clock was corrected, the page is read
 * again, and the logouts get their true instants before `as_of` advances.
 *
 * @returns Whether the page was stored, or a `CLOCK_AHEAD` error. The error is returned, because throwing it here
 *   would roll back the write.
 */
export async function storePage(
  tx: Executor,
  tenant: LockedTenant,
  clock: SqlClock,
  page: PageToStore,
): Promise<boolean | LastLogoutError> {
  if (tenant.checkpoint !== page.from) return false
  if (page.storedAt !== null && isAhead(page.storedAt, tenant.now)) {
    await storeBatch(tx, tenant, page.batch)
    return clockAheadError(page.storedAt)
  }
  const { seq } = await writeBatch(tx, page.batch, tenant)
  await tx.$executeRaw`
    UPDATE ${tx.tables.tenant} SET checkpoint = ${page.next}, seq = ${seq}, last_poll_at = ${timestampOf(clock())},
      as_of = CASE WHEN as_of IS NOT NULL AND sweep_to IS NULL
        THEN ${advanceAsOf(page.storedAt, clock)} ELSE as_of END`
  return true
}

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
