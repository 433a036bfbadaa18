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

/** A write that runs in a transaction that has locked the tenant row. */
type Write<T> = (tx: Transaction, tenant: LockedTenant) => Promise<T>

/** Functions that run a write, and retry after a conflict. */
interface Writers {
  /**
   * Runs a write of one statement without a transaction. A retry runs the statement in a transaction at READ COMMITTED,
   * because the default isolation level can be the cause of the conflict.
   */
  execute<T>(run: (executor: Executor) => Promise<T>): Promise<T>
  /** Runs a write in a transaction that does not lock the tenant row. */
  transact: Transact
  /** Runs a write in a transaction that locks the tenant row, so that feed positions are in the order of commits. */
  write<T>(run: Write<T>): Promise<T>
  /** Runs a write as `write` does. If PostgreSQL refuses a row, stores the other rows. */
  writeEntries<T>(run: Write<T>): Promise<T>
}

/** Options of {@link createWriters}. */
interface WriterOptions {
  clock: SqlClock
  /** Limit in milliseconds. If a transaction is idle for longer than this, PostgreSQL ends the session. */
  idleTransactionTimeoutMs: number
}

/** Creates the functions that run a write. */
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
