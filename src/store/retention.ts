import type { Counts, Pruned } from '../ports.js'
import type { Instant } from '../rules/instant.js'
import {
  type Executor,
  type StoreClient,
  TRANSACTION,
  type Transact,
  tenantRowMissing,
} from './database.js'
import { positionAt, readClock, type SqlClock, timestamp, toEpoch } from './epoch.js'

/** Rows per DELETE statement: concurrent writers wait no longer than for one statement. */
const BATCH_SIZE = 10_000

/**
 * Counts the rows of each kind.
 *
 * @throws `DATABASE_NOT_MIGRATED` when the tenant row is missing.
 */
export async function count(prisma: StoreClient): Promise<Counts> {
  const [users, sessions, gaps, kept, excess, tenant] = await prisma.$transaction(
    [
      prisma.lastLogout.count(),
      prisma.sessionLogout.count(),
      prisma.gap.count(),
      prisma.unattributable.groupBy({ by: ['reason'], _count: true, orderBy: { reason: 'asc' } }),
      // `findMany` would also select the day, which is part of the key and a date.
      prisma.unattributableExcess.groupBy({
        by: ['reason'],
        _sum: { count: true },
        orderBy: { reason: 'asc' },
      }),
      prisma.tenant.findUnique({ where: { id: 1 } }),
    ],
    { isolationLevel: TRANSACTION.isolationLevel },
  )
  if (tenant === null) throw tenantRowMissing()
  const unattributable: Counts['unattributable'] = {}
  const add = (reason: string, count: number) => {
    unattributable[reason] = (unattributable[reason] ?? 0) + count
  }
  for (const { reason, _count } of kept) add(reason, Number(_count))
  for (const { reason, _sum } of excess) add(reason, Number(_sum?.count ?? 0))
  return { users, sessions, gaps, unattributable, reconciled: Number(tenant.reconciled) }
}

/** What `prune` deletes. */
export interface PruneOptions {
  /** Minimum age of the last change of a deleted row, in milliseconds. */
  retainMs: number
  /** Called before each DELETE statement. Throwing aborts the operation. */
  onBatch?: (() => void) | undefined
}

/**
 * Deletes sessions and unattributable entries whose last change is older than `retainMs`. The age is measured by
 * the clock of the database, or from `as_of` if that is earlier: a clock that is ahead must not delete rows that
 * still count. Before the first catch-up has ended nothing is deleted. Users and gaps are kept.
 */
export async function prune(
  transact: Transact,
  clock: SqlClock,
  { retainMs, onBatch = () => {} }: PruneOptions,
): Promise<Pruned> {
  const before = await transact((tx) => readPruneLimit(tx, clock, retainMs))
  if (before === null) return { sessions: 0, unattributable: 0 }
  // Skips a row that is locked by a writer: it can move forward, and waiting for it can deadlock.
  const sessions = await deleteInBatches(
    transact,
    onBatch,
    (tx) => tx.$executeRaw`
      DELETE FROM ${tx.tables.sessionLogout} WHERE session_id IN (
        SELECT session_id FROM ${tx.tables.sessionLogout} WHERE seq < ${positionAt(before)}
        LIMIT ${BATCH_SIZE} FOR UPDATE SKIP LOCKED)`,
  )
  const unattributable = await deleteInBatches(
    transact,
    onBatch,
    (tx) => tx.$executeRaw`
      DELETE FROM ${tx.tables.unattributable} WHERE id IN (
        SELECT id FROM ${tx.tables.unattributable} WHERE received_at < ${timestamp(before)} LIMIT ${BATCH_SIZE})`,
  )
  const excess = await transact(
    (tx) => tx.$executeRaw`
    DELETE FROM ${tx.tables.unattributableExcess} WHERE day < (${timestamp(before)} AT TIME ZONE 'UTC')::date`,
  )
  return { sessions, unattributable: unattributable + excess }
}

/** Rows that last changed before this instant may be deleted; `null`: none may. */
async function readPruneLimit(
  tx: Executor,
  clock: SqlClock,
  retainMs: number,
): Promise<Instant | null> {
  const [row] = await tx.$queryRaw<{ now: Instant; as_of: Instant | null }[]>`
    SELECT ${readClock(clock)} AS now, ${toEpoch('as_of')} AS as_of FROM ${tx.tables.tenant}`
  if (row === undefined || row.as_of === null) return null
  return Math.min(row.now, row.as_of) - retainMs
}

async function deleteInBatches(
  transact: Transact,
  onBatch: () => void,
  deleteBatch: (tx: Executor) => Promise<number>,
): Promise<number> {
  let total = 0
  for (let deleted = BATCH_SIZE; deleted === BATCH_SIZE; total += deleted) {
    onBatch()
    deleted = await transact(deleteBatch)
  }
  return total
}
