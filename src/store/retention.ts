import type { Counts, Pruned } from '../ports.js'
import type { Instant } from '../rules/instant.js'
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
    prisma.unattributableExcess.findMany({ orderBy: { reason: 'asc' } }),
    prisma.tenant.findUniqueOrThrow({ where: { id: 1 } }),
  ])
  const unattributable: Counts['unattributable'] = {}
  const add = (reason: string, count: number) => {
    unattributable[reason] = (unattributable[reason] ?? 0) + count
  }
  for (const { reason, _count } of kept) add(reason, Number(_count))
  for (const { reason, count } of excess) add(reason, Number(count))
  return { users, sessions, gaps, unattributable, reconciled: Number(tenant.reconciled) }
}

/** Deletes sessions and unattributable entries from before. Users and gaps stay. */
export async function prune(
  prisma: PrismaClient,
  before: Instant,
  between: () => void = () => {},
): Promise<Pruned> {
  const date = new Date(before)
  // A row that is being written is passed over: it may move forward, and waiting for it may deadlock.
  const sessions = await untilNone(
    between,
    () => prisma.$executeRaw`
      DELETE FROM session_logout WHERE session_id IN (
        SELECT session_id FROM session_logout WHERE at < ${date}
        LIMIT ${AT_ONCE} FOR UPDATE SKIP LOCKED)`,
  )
  const unattributable = await untilNone(
    between,
    () => prisma.$executeRaw`
      DELETE FROM unattributable WHERE id IN (
        SELECT id FROM unattributable WHERE received_at < ${date} LIMIT ${AT_ONCE})`,
  )
  const excess = await prisma.unattributableExcess.deleteMany({ where: { day: { lt: date } } })
  return { sessions, unattributable: unattributable + excess.count }
}

async function untilNone(between: () => void, deleteSome: () => Promise<number>): Promise<number> {
  let total = 0
  for (let deleted = AT_ONCE; deleted === AT_ONCE; total += deleted) {
    between()
    deleted = await deleteSome()
  }
  return total
}
