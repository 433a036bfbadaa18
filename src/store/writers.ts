import {
  type Executor,
  isRefusedRow,
  query,
  type StoreClient,
  TRANSACTION,
  type Transact,
  type Transaction,
} from './database.js'
import type { SqlClock } from './epoch.js'
import { type LockedTenant, limitIdleTime, lockTenant } from './tenant-row.js'

/** Runs in a transaction that has locked the tenant row. */
type Write<T> = (tx: Transaction, tenant: LockedTenant) => Promise<T>

/** The ways to run a write. Each of them retries after a conflict. */
interface Writers {
  /**
   * Runs a write of one statement, without a transaction around it. The default isolation may not be READ COMMITTED, so a
   * retry after a conflict runs in a transaction.
   */
  execute<T>(run: (executor: Executor) => Promise<T>): Promise<T>
  /** Runs a write that locks only the rows that it changes. */
  transact: Transact
  /** Runs a write under the lock of the tenant row, so that feed positions are in the order of commits. */
  write<T>(run: Write<T>): Promise<T>
  /** Does the same as `write`. If PostgreSQL refuses a row, the other rows are stored. */
  writeEntries<T>(run: Write<T>): Promise<T>
}

/** Options of {@link createWriters}. */
interface WriterOptions {
  clock: SqlClock
  /** If a transaction is idle for longer, PostgreSQL ends the session, in milliseconds. */
  idleTransactionTimeoutMs: number
}

/** Creates the ways to run a write. */
export function createWriters(
  prisma: StoreClient,
  { clock, idleTransactionTimeoutMs }: WriterOptions,
): Writers {
  const runInTransaction: Transact = (run) =>
    prisma.$transaction(async (tx) => {
      await limitIdleTime(tx, idleTransactionTimeoutMs)
      return run(tx)
    }, TRANSACTION)

  const write = <T>(run: Write<T>): Promise<T> =>
    query(() =>
      prisma.$transaction(
        async (tx) => run(tx, await lockTenant(tx, clock, idleTransactionTimeoutMs)),
        TRANSACTION,
      ),
    )

  return {
    write,
    transact: (run) => query(() => runInTransaction(run)),
    execute: (run) => query((attempt) => (attempt === 0 ? run(prisma) : runInTransaction(run))),
    writeEntries: (run) =>
      write(run).catch((error) => {
        if (!isRefusedRow(error)) throw error
        return write((tx, tenant) => run(tx, { ...tenant, isolatesRows: true }))
      }),
  }
}
