import { batchCalls } from '../async/batch-calls.js'
import { fold } from '../rules/fold.js'
import type { Instant } from '../rules/instant.js'
import { limitReportedInstant, type ReportedLogout } from '../rules/reported.js'
import { isRefusedRow, query, TRANSACTION, type Transaction } from './database.js'
import { storeBatch } from './store-batch.js'
import type { LockedTenant } from './tenant-row.js'

/** Runs a write under the lock of the tenant row. */
type Write = <T>(run: (tx: Transaction, tenant: LockedTenant) => Promise<T>) => Promise<T>

/**
 * Limits of the transactions that store reported logouts: logouts that an application reports. Every transaction locks
 * the tenant row, so a second transaction would only wait and occupy a connection.
 */
const BATCHES = { maxSize: 256, maxConcurrent: 1 }

/**
 * Creates a function that stores a reported logout. Reports that arrive during a transaction share the next transaction
 * (group commit). If PostgreSQL refuses a report, only this report fails.
 *
 * @returns A function that resolves to the stored instant after the commit. If the reported instant is too far in the
 *   future, the function stores nothing and resolves to `null`.
 */
export function createReportWriter(
  write: Write,
): (report: ReportedLogout) => Promise<Instant | null> {
  const writeInBatch = batchCalls({
    run: (reports: ReportedLogout[]) => write((tx, tenant) => storeReported(tx, tenant, reports)),
    isInputError: isRefusedRow,
    maxWaitMs: TRANSACTION.maxWait,
    ...BATCHES,
  })
  return (report) => query(() => writeInBatch(report))
}

/** Stores reported logouts. For each report, returns the stored instant, or `null` if it is too far in the future. */
async function storeReported(
  tx: Transaction,
  tenant: LockedTenant,
  reports: ReportedLogout[],
): Promise<(Instant | null)[]> {
  const instants = reports.map(({ at }) => limitReportedInstant(at ?? tenant.now, tenant.now))
  const events = reports.flatMap(({ userId, sessionId, type }, index) => {
    const at = instants[index] ?? null
    return at === null ? [] : [{ userId, sessionId, at, logId: '', type }]
  })
  // A report ends no session, because only Auth0 knows whether a session has ended.
  const rows = fold(events, { endsSessions: false })
  if (events.length > 0) await storeBatch(tx, tenant, { ...rows, unattributable: [] })
  return instants
}
