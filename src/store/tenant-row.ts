import { LastLogoutError } from '../errors.js'
import { createKeyedHash } from '../rules/keyed-hash.js'
import type { Span } from '../rules/span.js'
import { type Executor, type Transaction, tenantRowMissingError } from './database.js'
import { currentPosition, readClock, type SqlClock, timestamp } from './epoch.js'
import { Prisma } from './generated/client.js'
import type { WriteState } from './write-batch.js'

/** Values of the tenant row in a transaction that has locked it. */
export interface LockedTenant extends WriteState {
  checkpoint: string | null
}

/** The key of a database never changes, so the hash of this text with that key identifies the database. */
const DATABASE_ID = 'id of the database'

/**
 * SQL condition: the database has no data yet, so another tenant can claim the database. Then a wrong `AUTH0_DOMAIN` at
 * the first start has no effect. A process of the former tenant fails: see `isOwnTenant`.
 */
const IS_UNUSED = Prisma.sql`
  tenant.checkpoint IS NULL AND tenant.as_of IS NULL AND tenant.seq = 0`

/** Options of {@link claim}. */
export interface ClaimOptions {
  /** Whether to replace the domain of another tenant in a database without data. Default: true. */
  replacesUnused?: boolean
}

/**
 * Claims the database for a tenant: creates the tenant row with the domain of the tenant.
 *
 * @returns The id of the database, see `LastLogoutStore`.
 * @throws `OTHER_TENANT` if the database has data of another tenant, or `replacesUnused` is false and the database has
 *   the domain of another tenant.
 */
export async function claim(
  tx: Transaction,
  domain: string,
  { replacesUnused = true }: ClaimOptions = {},
): Promise<string> {
  await tx.$executeRaw`
    INSERT INTO ${tx.tables.tenant} (id, domain) VALUES (1, ${domain}) ON CONFLICT (id)
    DO UPDATE SET domain = excluded.domain WHERE ${IS_UNUSED} AND ${replacesUnused}`
  const tenant = await tx.tenant.findUniqueOrThrow({ where: { id: 1 } })
  if (tenant.domain !== domain) {
    throw new LastLogoutError(
      'OTHER_TENANT',
      `this database serves the tenant ${tenant.domain}, not ${domain}: give each tenant its own schema (?schema= in DATABASE_URL) or database, or correct AUTH0_DOMAIN`,
    )
  }
  return createKeyedHash(tenant.forgetKey)(DATABASE_ID).slice(0, 16)
}

/**
 * Limits the idle time of a transaction. Must be called before the transaction locks rows: without a limit, a process
 * that is suspended keeps its locks until its connection ends.
 *
 * @param timeoutMs Limit in milliseconds. If the transaction is idle for longer than this, PostgreSQL ends the session.
 */
export async function limitIdleTime(tx: Executor, timeoutMs: number): Promise<void> {
  await tx.$queryRaw`SELECT ${idleTimeout(timeoutMs)}`
}

/** Returns SQL that sets the limit until the end of the transaction. */
function idleTimeout(timeoutMs: number): Prisma.Sql {
  return Prisma.sql`set_config('idle_in_transaction_session_timeout', ${String(timeoutMs)}, true)`
}

/**
 * Locks the tenant row. Returns the feed position after which the writer assigns positions.
 *
 * A position is the time of the database's clock in microseconds. With a plain counter, a restore or a failover could
 * lose changes, and their positions would then be assigned to new changes. Subscribers that have read these positions
 * would skip the new changes.
 *
 * If the clock is behind after a restore or a failover, a position can still be assigned twice. So the feed gets a new
 * id when PostgreSQL's timeline changes: at the promotion of a replica, and at a point-in-time restore.
 *
 * @param idleTimeoutMs Limit in milliseconds. If the transaction is idle for longer than this, PostgreSQL ends the
 *   session.
 * @throws `DATABASE_NOT_MIGRATED` if the tenant row is missing.
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
    FROM ${tx.tables.tenant} WHERE id = 1 AND ${tx.tables.isOwnTenant} FOR UPDATE`
  if (tenant === undefined) throw tenantRowMissingError()
  const { checkpoint, seq, now } = tenant
  await updateTimeline(tx, tenant)
  return { checkpoint, seq, now }
}

interface Timelines {
  /** Timeline of the server at the last write. `null` before the first write. */
  timeline: string | null
  /** Timeline of the server now. `null` if the server does not report its timeline. */
  current: string | null
}

/**
 * Stores the timeline. If the timeline has changed, the feed gets a random id. The number of the timeline is not
 * unique: two replicas of one primary get the same number when they are promoted.
 */
async function updateTimeline(tx: Executor, { timeline, current }: Timelines): Promise<void> {
  if (current === null || current === timeline) return
  await tx.$executeRaw`
    UPDATE ${tx.tables.tenant} SET timeline = ${current},
      feed_id = CASE WHEN timeline IS NULL THEN feed_id ELSE gen_random_uuid() END`
}

/**
 * Sets the first checkpoint, and the span of the log that a sweep must still search for logouts. Changes nothing if the
 * tenant has a checkpoint.
 *
 * @returns Whether the checkpoint was set.
 */
export async function setFirstCheckpoint(
  tx: Executor,
  tenant: LockedTenant,
  { to, sweep }: NewCheckpoint,
): Promise<boolean> {
  if (tenant.checkpoint !== null) return false
  await setCheckpoint(tx, { to, sweep })
  return true
}

/**
 * Replaces the checkpoint `from`, and the span to sweep. If the checkpoint is not `from`, changes nothing and returns
 * false.
 */
export async function compareAndSetCheckpoint(
  tx: Executor,
  tenant: LockedTenant,
  { from, ...move }: NewCheckpoint & { from: string },
): Promise<boolean> {
  if (tenant.checkpoint !== from) return false
  await setCheckpoint(tx, move)
  return true
}

interface NewCheckpoint {
  /** The new checkpoint. */
  to: string | null
  /** The span to sweep. */
  sweep: Span | null
}

async function setCheckpoint(tx: Executor, { to, sweep }: NewCheckpoint): Promise<void> {
  await tx.$executeRaw`
    UPDATE ${tx.tables.tenant} SET checkpoint = ${to},
      sweep_from = ${timestamp(sweep?.from ?? null)}, sweep_to = ${timestamp(sweep?.to ?? null)}`
}

/**
 * Removes `part`, which has been swept, from the end of the span to sweep.
 *
 * @returns False if the span does not end with `part`, because the span was replaced meanwhile.
 */
export async function shrinkSweep(tx: Executor, part: Span): Promise<boolean> {
  const hasRemainder = Prisma.sql`sweep_from < ${timestamp(part.from)}`
  const shrunk = await tx.$executeRaw`
    UPDATE ${tx.tables.tenant} SET
      sweep_from = CASE WHEN ${hasRemainder} THEN sweep_from END,
      sweep_to = CASE WHEN ${hasRemainder} THEN ${timestamp(part.from)} END
    WHERE sweep_to = ${timestamp(part.to)}`
  return shrunk === 1
}
