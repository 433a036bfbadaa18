import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BenchRun } from '../bench-run.js'
import { fillTables } from '../fill-tables.js'
import { type BenchDatabase, openBenchDatabaseIn } from '../open-bench-database.js'

/** The directory of the grown database, to which the parts of `npm run bench:growth` add users. */
const DATA_DIR = join(tmpdir(), 'last-logout-bench-growth')

/**
 * Number of users that one transaction stores. After an interruption, the next run keeps the committed transactions.
 */
const USERS_PER_TRANSACTION = 500_000

/** Makes the grown database hold exactly `users` users. */
export async function growDatabase(run: BenchRun, users: number): Promise<void> {
  await openGrownDatabase(run, users)
}

/** Opens the grown database, and makes it hold exactly `users` users. */
export async function openGrownDatabase(run: BenchRun, users: number): Promise<BenchDatabase> {
  const bench = await openBenchDatabaseIn(run, DATA_DIR)
  await growTables(bench, users)
  return bench
}

/** Deletes the grown database, which must be closed. */
export async function deleteGrownDatabase(): Promise<void> {
  await rm(DATA_DIR, { recursive: true, force: true })
}

async function growTables({ database }: BenchDatabase, users: number): Promise<void> {
  const { prisma } = database
  const startedMs = performance.now()
  const [{ count } = { count: 0 }] = await prisma.$queryRaw<{ count: number }[]>`
    SELECT count(*)::int AS count FROM last_logout`
  if (count > users) await prisma.$executeRaw`TRUNCATE last_logout, session_logout`
  const stored = count > users ? 0 : count
  // The writes of an earlier part have left dead rows.
  if (stored > 0 && stored < users) {
    await prisma.$executeRaw`VACUUM (FULL) last_logout, session_logout`
  }
  for (let first = stored; first < users; first += USERS_PER_TRANSACTION) {
    await fillTables(database, Math.min(users, first + USERS_PER_TRANSACTION), first)
  }
  if (stored === users) return
  // The tables of a real installation have statistics and vacuumed pages.
  await prisma.$executeRaw`VACUUM (ANALYZE) last_logout, session_logout`
  const seconds = Math.round((performance.now() - startedMs) / 1000)
  console.log(`stored ${users - stored} users and sessions in ${seconds} s`)
}
