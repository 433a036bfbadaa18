import type { Counts, Pruned } from '../ports.js'
import type { Instant } from '../rules/instant.js'
import { positionAt } from './changes.js'
import { readClock, type SqlClock, timestamp, toEpoch } from './epoch.js'
import type { PrismaClient } from './generated/client.js'

/** How many rows are deleted at once: what is written meanwhile waits no longer than that takes. */
const AT_ONCE = 10_000

/** What there is, by kind. */
export async function count(prisma: PrismaClient): Promise<Counts> {
  const [users, sessions, gaps, kept, excess, tenant] = await prisma.$transaction([
    prisma.lastLogout.count(),
    prisma.sessionLogout.count(),
    prisma.gap.count(),
    prisma.unattributable.groupBy({ by: ['reason'], _count: true, orderBy: { reason: 'asc' } }),
    // Not `findMany`: it asks for the day too, which is part of the key.
    prisma.unattributableExcess.groupBy({
      by: ['reason'],
      _sum: { count: true },
      orderBy: { reason: 'asc' },
    }),
    prisma.tenant.findUniqueOrThrow({ where: { id: 1 } }),
  ])
  const unattributable: Counts['unattributable'] = {}
  const add = (reason: string, count: number) => {
    unattributable[reason] = (unattributable[reason] ?? 0) + count
  }
  for (const { reason, _count } of kept) add(reason, Number(_count))
  for (const { reason, _sum } of excess) add(reason, Number(_sum?.count ?? 0))
  return { users, sessions, gaps, unattributable, reconciled: Number(tenant.reconciled) }
}

/** What to delete. */
export interface PruneOptions {
  /** How long ago a row must have changed last, in milliseconds. */
  retainMs: number
  /** Runs before each statement; throwing ends the pruning. */
  onBatch?: (() => void) | undefined
}

/**
 * Deletes sessions and unattributable entries that last changed longer ago than `retainMs`: by the
 * clock of the database, and counted from `as_of` where that is earlier, so that a clock which is ahead
 * deletes nothing that still counts. Before the first catch-up has ended it deletes nothing. Users and
 * gaps stay.
 */
export async function prune(
  prisma: PrismaClient,
  clock: SqlClock,
  { retainMs, onBatch = () => {} }: PruneOptions,
): Promise<Pruned> {
  const before = await readPruneLimit(prisma, clock, retainMs)
  if (before === null) return { sessions: 0, unattributable: 0 }
  // A row that is being written is passed over: it may move forward, and waiting for it may deadlock.
  const sessions = await untilNone(
    onBatch,
    () => prisma.$executeRaw`
      DELETE FROM session_logout WHERE session_id IN (
        SELECT session_id FROM session_logout WHERE seq < ${positionAt(before)}
        LIMIT ${AT_ONCE} FOR UPDATE SKIP LOCKED)`,
  )
  const unattributable = await untilNone(
    onBatch,
    () => prisma.$executeRaw`
      DELETE FROM unattributable WHERE id IN (
        SELECT id FROM unattributable WHERE received_at < ${timestamp(before)} LIMIT ${AT_ONCE})`,
  )
  const excess = await prisma.$executeRaw`
    DELETE FROM unattributable_excess WHERE day < (${timestamp(before)} AT TIME ZONE 'UTC')::date`
  return { sessions, unattributable: unattributable + excess }
}

/** What changed before it may be deleted; `null`: nothing may. */
async function readPruneLimit(
  prisma: PrismaClient,
  clock: SqlClock,
  retainMs: number,
): Promise<Instant | null> {
  const [row] = await prisma.$queryRaw<{ now: Instant; as_of: Instant | null }[]>`
    SELECT ${readClock(clock)} AS now, ${toEpoch('as_of')} AS as_of FROM tenant`
  if (row === undefined || row.as_of === null) return null
  return Math.min(row.now, row.as_of) - retainMs
}

async function untilNone(onBatch: () => void, deleteSome: () => Promise<number>): Promise<number> {
  let total = 0
  for (let deleted = AT_ONCE; deleted === AT_ONCE; total += deleted) {
    onBatch()
    deleted = await deleteSome()
  }
  return total
}
