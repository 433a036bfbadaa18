import type { PrunedRows, RowCounts } from '../ports.js'
import type { Instant } from '../rules/instant.js'
import {
  type Executor,
  type StoreClient,
  TRANSACTION,
  type Transact,
  tenantRowMissingError,
} from './database.js'
import { positionAt, readClock, type SqlClock, timestamp, toEpoch } from './epoch.js'
import { Prisma } from './generated/client.js'

/** Maximum number of rows that a statement deletes. A small number keeps the waits of other writers short. */
const BATCH_SIZE = 10_000

/**
 * Counts the rows of each kind.
 *
 * @throws `DATABASE_NOT_MIGRATED` if the tenant row is missing.
 */
export async function count(prisma: StoreClient): Promise<RowCounts> {
  // `kept`: the stored unattributable entries. `excess`: those beyond the limit of stored entries, which are only counted.
  // The order of the tables is that of the migrations, so that a migration that runs at the same time causes no deadlock.
  const [tenants, users, sessions, gaps, kept, excess] = await prisma.$transaction(
    [
      prisma.$queryRaw<{ reconciled: bigint }[]>`
        SELECT reconciled FROM ${prisma.tables.tenant} WHERE ${prisma.tables.isOwnTenant}`,
      prisma.lastLogout.count(),
      prisma.sessionLogout.count(),
      prisma.gap.count(),
      prisma.unattributable.groupBy({ by: ['reason'], _count: true, orderBy: { reason: 'asc' } }),
      // `findMany` would also read the column `day`, because it is a part of the primary key. Dates are not read
      // through Prisma: see `epoch.ts`.
      prisma.unattributableExcess.groupBy({
        by: ['reason'],
        _sum: { count: true },
        orderBy: { reason: 'asc' },
      }),
    ],
    { isolationLevel: TRANSACTION.isolationLevel },
  )
  const [tenant] = tenants
  if (tenant === undefined) throw tenantRowMissingError()
  const unattributable: RowCounts['unattributable'] = {}
  const add = (reason: string, count: number) => {
    unattributable[reason] = (unattributable[reason] ?? 0) + count
  }
  for (const { reason, _count } of kept) add(reason, Number(_count))
  for (const { reason, _sum } of excess) add(reason, Number(_sum?.count ?? 0))
  return { users, sessions, gaps, unattributable, reconciled: Number(tenant.reconciled) }
}

/** Options of {@link prune}. */
export interface PruneOptions {
  /** Maximum age of the last change of a row, in milliseconds. */
  retainMs: number
  /** Maximum age of the logout in a row of a forgotten person, in milliseconds. */
  horizonMs: number
  /** Called before each DELETE statement. Throwing aborts the operation. */
  onBatch?: (() => void) | undefined
}

/**
 * Deletes old rows:
 *
 * - sessions and unattributable entries whose last change is older than `retainMs`
 * - rows of forgotten people whose logout is older than `horizonMs`
 *
 * Keeps all gaps, and all other rows of users. The age of a row is its age at `as_of`, or at the time of the database's
 * clock if that is earlier. So a clock that is ahead does not cause early deletions. Deletes nothing before the log has
 * been read to its end once.
 */
export async function prune(
  transact: Transact,
  clock: SqlClock,
  { retainMs, horizonMs, onBatch = () => {} }: PruneOptions,
): Promise<PrunedRows> {
  const limit = await transact((tx) => readPruneLimit(tx, clock))
  if (limit === null) return { sessions: 0, unattributable: 0, forgotten: 0 }
  const before = limit.at - retainMs
  // `seq`, the position of a row in the change feed, contains the time of the last change of the row.
  // Skips rows that a writer has locked: the writer can change the row, and a wait for the lock can cause a deadlock.
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
  const forgotten = limit.hasForgottenPeople
    ? await pruneForgotten(transact, {
        before: limit.at - horizonMs,
        lastForgottenBefore: before,
        onBatch,
      })
    : 0
  return { sessions, unattributable: unattributable + excess, forgotten }
}

interface ForgottenPruneOptions {
  /** A logout before this instant cannot concern a valid token. */
  before: Instant
  /** If no person was forgotten since this instant, and no row with hashes remains, later reads need not hash ids. */
  lastForgottenBefore: Instant
  onBatch(): void
}

/** Deletes rows of forgotten people. Returns the number of deleted rows. */
async function pruneForgotten(
  transact: Transact,
  { before, lastForgottenBefore, onBatch }: ForgottenPruneOptions,
): Promise<number> {
  const isExpired = Prisma.sql`forgotten_at IS NOT NULL AND at < ${timestamp(before)}`
  const sessions = await deleteInBatches(
    transact,
    onBatch,
    (tx) => tx.$executeRaw`
      DELETE FROM ${tx.tables.sessionLogout} WHERE session_id IN (
        SELECT session_id FROM ${tx.tables.sessionLogout} WHERE ${isExpired}
        LIMIT ${BATCH_SIZE} FOR UPDATE SKIP LOCKED)`,
  )
  const users = await deleteInBatches(
    transact,
    onBatch,
    (tx) => tx.$executeRaw`
      DELETE FROM ${tx.tables.lastLogout} WHERE user_id IN (
        SELECT user_id FROM ${tx.tables.lastLogout} WHERE ${isExpired}
        LIMIT ${BATCH_SIZE} FOR UPDATE SKIP LOCKED)`,
  )
  await transact(
    (tx) => tx.$executeRaw`
    UPDATE ${tx.tables.tenant} SET forgotten_at = NULL WHERE forgotten_at < ${timestamp(lastForgottenBefore)}
      AND NOT EXISTS (SELECT FROM ${tx.tables.lastLogout} WHERE forgotten_at IS NOT NULL)
      AND NOT EXISTS (SELECT FROM ${tx.tables.sessionLogout} WHERE forgotten_at IS NOT NULL)`,
  )
  return sessions + users
}

interface PruneLimit {
  /** The instant at which the age of rows is measured. */
  at: Instant
  /** Whether people were forgotten. */
  hasForgottenPeople: boolean
}

/** Returns `null` if nothing may be deleted, because the log has not been read to its end yet. */
async function readPruneLimit(tx: Executor, clock: SqlClock): Promise<PruneLimit | null> {
  const [row] = await tx.$queryRaw<
    { now: Instant; as_of: Instant | null; has_forgotten_people: boolean }[]
  >`
    SELECT ${readClock(clock)} AS now, ${toEpoch('as_of')} AS as_of,
      forgotten_at IS NOT NULL AS has_forgotten_people
    FROM ${tx.tables.tenant} WHERE ${tx.tables.isOwnTenant}`
  if (row === undefined || row.as_of === null) return null
  return { at: Math.min(row.now, row.as_of), hasForgottenPeople: row.has_forgotten_people }
}

async function deleteInBatches(
  transact: Transact,
  onBatch: () => void,
  deleteBatch: (tx: Executor) => Promise<number>,
): Promise<number> {
  let total = 0
  let deleted: number
  do {
    onBatch()
    deleted = await transact(deleteBatch)
    total += deleted
  } while (deleted === BATCH_SIZE)
  return total
}
