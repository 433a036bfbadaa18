import { batchCalls } from '../async/batch-calls.js'
import { fold } from '../rules/fold.js'
import type { Instant } from '../rules/instant.js'
import { limitReportedInstant, type ReportedLogout } from '../rules/reported.js'
import { type Executor, isRefusedRow, query, TRANSACTION, type Transaction } from './database.js'
import { readClock, type SqlClock } from './epoch.js'
import { storeBatch } from './store-batch.js'
import type { LockedTenant } from './tenant-row.js'

/** Runs a write under the lock of the tenant row. */
type Write = <T>(run: (tx: Transaction, tenant: LockedTenant) => Promise<T>) => Promise<T>

/**
 * Limits of the transactions that store reported logouts: logouts that an application reports. Every transaction locks
 * the tenant row, so a second transaction would only wait and occupy a connection.
 */
const BATCHES = { maxSize: 256, maxConcurrent: 1 }

/** A wait up to this time, in milliseconds, does not count: no user logs in again so soon after a logout. */
const SHORT_WAIT_MS = 1_000

/** A report, and when it was made, by the monotonic clock of this process in milliseconds. */
interface TimedReport extends ReportedLogout {
  madeAtMs: number
}

/**
 * Creates a function that stores a reported logout. Reports that arrive during a transaction share the next transaction
 * (group commit). If PostgreSQL refuses a report, only this report fails.
 *
 * A report can wait long for the database. A report without an instant gets the time at which it was made, not that at
 * which it is stored: a login in the meantime is after the logout.
 *
 * @param shortWaitMs Default: {@link SHORT_WAIT_MS}.
 * @returns A function that resolves to the stored instant after the commit. If the reported instant is too far in the
 *   future, the function stores nothing and resolves to `null`.
 */
export function createReportWriter(
  write: Write,
  clock: SqlClock,
  shortWaitMs = SHORT_WAIT_MS,
): (report: ReportedLogout) => Promise<Instant | null> {
  const writeInBatch = batchCalls({
    run: (reports: TimedReport[]) =>
      write((tx, tenant) => storeReported(tx, tenant, { clock, shortWaitMs }, reports)),
    isInputError: isRefusedRow,
    maxWaitMs: TRANSACTION.maxWait,
    ...BATCHES,
  })
  return (report) => {
    const timedReport = { ...report, madeAtMs: performance.now() }
    return query(() => writeInBatch(timedReport))
  }
}

/** Stores reported logouts. For each report, returns the stored instant, or `null` if it is too far in the future. */
async function storeReported(
  tx: Transaction,
  tenant: LockedTenant,
  { clock, shortWaitMs }: { clock: SqlClock; shortWaitMs: number },
  reports: TimedReport[],
): Promise<(Instant | null)[]> {
  const readAtMs = performance.now()
  // `tenant.now` can be the time before or after the wait for the lock. This time is certainly after it, so a report is
  // never dated before it was made.
  const now = await readNow(tx, clock)
  const instants = reports.map(({ at, madeAtMs }) => {
    const waitedMs = Math.floor(readAtMs - madeAtMs)
    return limitReportedInstant(at ?? now - (waitedMs > shortWaitMs ? waitedMs : 0), now)
  })
  const events = reports.flatMap(({ userId, sessionId, type }, index) => {
    const at = instants[index] ?? null
    return at === null ? [] : [{ userId, sessionId, at, logId: '', type }]
  })
  // A report ends no session, because only Auth0 knows whether a session has ended.
  const rows = fold(events, { endsSessions: false })
  if (events.length > 0) await storeBatch(tx, { ...tenant, now }, { ...rows, unattributable: [] })
  return instants
}

async function readNow(tx: Executor, clock: SqlClock): Promise<Instant> {
  const [row] = await tx.$queryRaw<[{ now: Instant }]>`SELECT ${readClock(clock)} AS now`
  return row.now
}
