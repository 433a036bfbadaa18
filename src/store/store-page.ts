import type { LastLogoutError } from '../errors.js'
import type { Batch, PageToStore } from '../rules/batch.js'
import { isAhead, MAX_CLOCK_AHEAD_MS } from '../rules/freshness.js'
import { clockAheadError } from './clock-ahead.js'
import { type Database, type Executor, tryOnce } from './database.js'
import { currentPosition, type SqlClock, timestampOf } from './epoch.js'
import { advanceAsOf } from './freshness.js'
import { Prisma } from './generated/client.js'
import { storeBatch } from './store-batch.js'
import type { Tables } from './tables.js'
import type { LockedTenant } from './tenant-row.js'
import { unattributableParts } from './unattributable.js'
import { type RowSource, upsertSessions, upsertUsers } from './upsert.js'
import { writeBatch } from './write-batch.js'

/**
 * Stores a page in a transaction that has locked the tenant row.
 *
 * If the storage time of the last entry is more than a minute ahead of the database's clock, this clock is behind. The
 * logouts are then stored with instants that are too early, and the checkpoint does not move. When the clock has been
 * corrected, the page is read again, and the logouts get their true instants before `as_of` advances.
 *
 * @returns Whether the page was stored, or a `CLOCK_AHEAD` error. Throwing this error would roll back the
 *   write.
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
  await tx.$executeRaw`UPDATE ${tx.tables.tenant} SET ${movedColumns(page, clock)}, seq = ${seq}`
  return true
}

/** Returns SQL that moves the checkpoint to the end of a page, and `as_of` to the storage time of the last entry. */
function movedColumns({ next, storedAt, endsCatchUp }: PageToStore, clock: SqlClock): Prisma.Sql {
  // `as_of` is null until the log has been read to its end once. `sweep_to` is null unless a sweep is incomplete.
  const isCaughtUp = endsCatchUp ? Prisma.sql`TRUE` : Prisma.sql`as_of IS NOT NULL`
  return Prisma.sql`checkpoint = ${next}, last_poll_at = ${timestampOf(clock())},
    as_of = CASE WHEN ${isCaughtUp} AND sweep_to IS NULL
      THEN ${advanceAsOf(storedAt, clock)} ELSE as_of END`
}

/**
 * Stores a page in one statement, if nothing needs the transaction of {@link storePage}. For example, the transaction
 * is needed if a person was forgotten, or if PostgreSQL's timeline has changed since the last write.
 *
 * The `UPDATE` of the tenant row runs first. It takes the lock under which all writers assign feed positions. After a
 * wait for the lock, PostgreSQL checks the conditions of the `UPDATE` again. If the checkpoint is then not `page.from`,
 * no rows are written.
 *
 * At READ COMMITTED, the `ON CONFLICT` of an upsert sees rows that were committed after the snapshot of the statement.
 * At any other isolation level, the statement would fail.
 *
 * @returns Whether the page was stored. If not, nothing was changed.
 */
export async function storePageInOneStatement(
  { prisma, queryPrepared }: Pick<Database, 'prisma' | 'queryPrepared'>,
  clock: SqlClock,
  page: PageToStore,
): Promise<boolean> {
  const moved = await tryOnce(() => queryPrepared(pageSql(prisma.tables, clock, page)))
  return moved?.length === 1
}

function pageSql(tables: Tables, clock: SqlClock, page: PageToStore): Prisma.Sql {
  const { users, sessions, unattributable } = page.batch
  const rowCount = BigInt(users.length + sessions.length)
  const now = Prisma.sql`floor(${clock()})::float8`
  return Prisma.sql`
    WITH moved AS (
      UPDATE ${tables.tenant} SET ${movedColumns(page, clock)},
        seq = GREATEST(seq, ${currentPosition(clock)}) + ${rowCount}::bigint
      WHERE checkpoint = ${page.from} AND ${tables.isOwnTenant} AND forgotten_at IS NULL
        AND COALESCE(${page.storedAt}::float8 <= ${now} + ${MAX_CLOCK_AHEAD_MS}, TRUE)
        AND timeline IS NOT DISTINCT FROM COALESCE(${tables.timeline}(), timeline)
        ${unattributable.length > 0 ? isUnchanged(tables) : Prisma.empty}
      RETURNING seq - ${rowCount}::bigint AS seq, ${now} AS now
    )${Prisma.join([Prisma.empty, ...batchParts(tables, page.batch)], ', ')}
    SELECT 1 AS stored FROM moved`
}

/**
 * Returns the SQL condition that no other writer has changed the tenant row since the snapshot of the statement. `xmin`
 * is the transaction that wrote a version of a row: on the left the locked version, on the right that of the snapshot.
 *
 * Without this condition, the statement would not count the unattributable entries of that writer, and could store more
 * entries than the limit allows.
 */
function isUnchanged({ tenant }: Tables): Prisma.Sql {
  return Prisma.sql`AND xmin = (SELECT seen.xmin FROM ${tenant} AS seen)`
}

/** Returns the parts of the `WITH` that write a batch. If the part `moved` has no row, they write nothing. */
function batchParts(tables: Tables, { users, sessions, unattributable }: Batch): Prisma.Sql[] {
  const from = Prisma.sql`moved CROSS JOIN`
  const rowsAfter = (position: number): RowSource => ({
    from,
    seq: Prisma.sql`moved.seq + ${BigInt(position)}::bigint`,
    maxAt: Prisma.sql`moved.now`,
  })
  // `moved` has a row only if no person was forgotten. So all rows contain ids, not hashes.
  const withIds = <Row>(row: Row) => ({ ...row, forgottenAt: null })
  const parts: Prisma.Sql[] = []
  if (users.length > 0) {
    const upsert = upsertUsers(tables, users.map(withIds), rowsAfter(0))
    parts.push(Prisma.sql`users AS (${upsert})`)
  }
  if (sessions.length > 0) {
    const upsert = upsertSessions(tables, sessions.map(withIds), rowsAfter(users.length))
    parts.push(Prisma.sql`sessions AS (${upsert})`)
  }
  if (unattributable.length > 0) {
    const unattributableSql = unattributableParts(tables, unattributable, from)
    parts.push(
      ...unattributableSql.parts,
      Prisma.sql`counted AS (${unattributableSql.countExcess})`,
    )
  }
  return parts
}
