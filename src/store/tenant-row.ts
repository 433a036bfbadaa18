import { LastLogoutError } from '../errors.js'
import type { Span } from '../rules/span.js'
import { type Executor, type Transaction, tenantRowMissingError } from './database.js'
import { currentPosition, readClock, type SqlClock, timestamp } from './epoch.js'
import { Prisma } from './generated/client.js'
import type { WriteState } from './write-batch.js'

/** The tenant row, locked for writing. */
export interface LockedTenant extends WriteState {
  checkpoint: string | null
}

/** SQL condition: the database holds no data, so another tenant can claim it. */
const IS_UNUSED = Prisma.sql`
  tenant.checkpoint IS NULL AND tenant.as_of IS NULL AND tenant.seq = 0`

/**
 * Claims the database for this tenant.
 *
 * @throws `OTHER_TENANT` when the database holds data of another tenant.
 */
export async function claim(tx: Transaction, domain: string): Promise<void> {
  await tx.$executeRaw`
    INSERT INTO ${tx.tables.tenant} (id, domain) VALUES (1, ${domain}) ON CONFLICT (id)
    DO UPDATE SET domain = excluded.domain WHERE ${IS_UNUSED}`
  const tenant = await tx.tenant.findUniqueOrThrow({ where: { id: 1 } })
  if (tenant.domain !== domain) {
    throw new LastLogoutError(
      'OTHER_TENANT',
      `this database serves the tenant ${tenant.domain}, not ${domain}: give each tenant its own schema (?schema= in DATABASE_URL) or database, or correct AUTH0_DOMAIN`,
    )
  }
}

/**
 * Limits how long this transaction can be idle. Call this before the transaction locks rows: without a limit, a frozen
 * process would keep its locks until its connection ends.
 *
 * @param timeoutMs If the transaction is idle for longer, PostgreSQL ends the session, in milliseconds.
 */
export async function limitIdleTime(tx: Executor, timeoutMs: number): Promise<void> {
  await tx.$queryRaw`SELECT ${idleTimeout(timeoutMs)}`
}

function idleTimeout(timeoutMs: number): Prisma.Sql {
  return Prisma.sql`set_config('idle_in_transaction_session_timeout', ${String(timeoutMs)}, true)`
}

/**
 * Locks the tenant row, and chooses the feed position after which the next positions are assigned.
 *
 * Positions are microseconds of the database's clock, so that no position is assigned twice. With a plain counter, a
 * restore or a failover that loses changes would assign their positions again, and subscribers would skip the new
 * changes at these positions. A clock that is behind can still assign a position twice. For this case, the feed gets
 * a new id when PostgreSQL's timeline changes, which happens when a replica is promoted, and at a point-in-time restore.
 *
 * @param idleTimeoutMs If the transaction is idle for longer, PostgreSQL ends the session, in milliseconds.
 * @throws `DATABASE_NOT_MIGRATED` when the tenant row is missing.
 */
export async function lockTenant(
  tx: Executor,
  clock: SqlClock,
  idleTimeoutMs: number,
): Promise<LockedTenant> {
  const [tenant] = await tx.$queryRaw<(LockedTenant & Timelines)[]>`
    SELECT checkpoint, GREATEST(seq, ${currentPosition(clock)}) AS seq,
      ${readClock(clock)} AS now, timeline, ${tx.tables.timeline}() AS current,
      ${idleTimeout(idleTimeoutMs)}
    FROM ${tx.tables.tenant} WHERE id = 1 FOR UPDATE`
  if (tenant === undefined) throw tenantRowMissingError()
  const { checkpoint, seq, now } = tenant
  await updateTimeline(tx, tenant)
  return { checkpoint, seq, now }
}

interface Timelines {
  /** Timeline of the server at the last write; `null`: none is stored yet. */
  timeline: string | null
  /** Timeline of the server now; `null`: the server does not report it. */
  current: string | null
}

/**
 * Stores the timeline. If the timeline has changed, the feed gets a new random id. An id that is derived from the
 * timeline would not be unique: two replicas that were promoted from the same primary have the same timeline.
 */
async function updateTimeline(tx: Executor, { timeline, current }: Timelines): Promise<void> {
  if (current === null || current === timeline) return
  await tx.$executeRaw`
    UPDATE ${tx.tables.tenant} SET timeline = ${current},
      feed_id = CASE WHEN timeline IS NULL THEN feed_id ELSE gen_random_uuid() END`
}

/** Sets the first checkpoint and the span to sweep. Does nothing if the checkpoint is already set. */
export async function setFirstCheckpoint(
  tx: Executor,
  tenant: LockedTenant,
  { to, sweep }: NewCheckpoint,
): Promise<void> {
  if (tenant.checkpoint === null) await setCheckpoint(tx, { to, sweep })
}

/** Replaces the checkpoint and the sweep. If the checkpoint differs from `from`, changes nothing and returns false. */
export async function compareAndSetCheckpoint(
  tx: Executor,
  tenant: LockedTenant,
  { from, ...move }: NewCheckpoint & { from: string },
): Promise<boolean> {
  if (tenant.checkpoint !== from) return false
  await setCheckpoint(tx, move)
  return true
}

/** The next checkpoint (`to`), and the span to sweep. */
interface NewCheckpoint {
  to: string | null
  sweep: Span | null
}

async function setCheckpoint(tx: Executor, { to, sweep }: NewCheckpoint): Promise<void> {
  await tx.$executeRaw`
    UPDATE ${tx.tables.tenant} SET checkpoint = ${to},
      sweep_from = ${timestamp(sweep?.from ?? null)}, sweep_to = ${timestamp(sweep?.to ?? null)}`
}

/**
 * Removes the newest part from the span to sweep.
 *
 * @returns False if the span does not end with this part, because another sweep was requested in the meantime.
 */
export async function shrinkSweep(tx: Executor, { from, to }: Span): Promise<boolean> {
  const hasRest = Prisma.sql`sweep_from < ${timestamp(from)}`
  const shrunk = await tx.$executeRaw`
    UPDATE ${tx.tables.tenant} SET
      sweep_from = CASE WHEN ${hasRest} THEN sweep_from END,
      sweep_to = CASE WHEN ${hasRest} THEN ${timestamp(from)} END
    WHERE sweep_to = ${timestamp(to)}`
  return shrunk === 1
}
