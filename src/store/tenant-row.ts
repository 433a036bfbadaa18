import { LastLogoutError } from '../errors.js'
import { MAX_CLOCK_AHEAD_MS } from '../rules/freshness.js'
import type { Instant } from '../rules/instant.js'
import { type Progress, toProgress } from '../rules/progress.js'
import type { Span } from '../rules/span.js'
import { tenantRowMissing } from './database.js'
import { readClock, type SqlClock, timestamp, timestampOf, toEpoch } from './epoch.js'
import { Prisma, type PrismaClient } from './generated/client.js'
import type { BatchPlace, Executor } from './write-batch.js'

/** The tenant row, as whoever writes has locked it. */
export interface LockedTenant extends BatchPlace {
  checkpoint: string | null
}

/** A database that nothing was stored in may still be given to another tenant. */
const NOTHING_READ = Prisma.sql`
  tenant.checkpoint IS NULL AND tenant.as_of IS NULL AND tenant.seq = 0`

/** Takes the database for this tenant; throws `OTHER_TENANT` where it serves another. */
export async function claim(prisma: PrismaClient, domain: string): Promise<void> {
  await prisma.$executeRaw`
    INSERT INTO tenant (id, domain) VALUES (1, ${domain}) ON CONFLICT (id)
    DO UPDATE SET domain = excluded.domain WHERE ${NOTHING_READ}`
  const tenant = await prisma.tenant.findUniqueOrThrow({ where: { id: 1 } })
  if (tenant.domain !== domain) {
    throw new LastLogoutError(
      'OTHER_TENANT',
      `this database serves the tenant ${tenant.domain}, not ${domain}: give each tenant its own database, or correct AUTH0_DOMAIN`,
    )
  }
}

/**
 * Locks the tenant row. Positions of the feed follow the clock of the database, in microseconds, so
 * that none is given out twice: after a restore or a promotion that lost some, subscribers would pass
 * over what comes at the same ones. A clock that is behind gives some out again all the same: on another
 * timeline the feed becomes another.
 */
export async function lockTenant(
  tx: Executor,
  clock: SqlClock,
  stuckMs: number,
): Promise<LockedTenant> {
  const [tenant] = await tx.$queryRaw<(LockedTenant & Timelines)[]>`
    SELECT checkpoint, GREATEST(seq, (${clock()} * 1000)::bigint) AS seq,
      ${readClock(clock)} AS now, timeline, last_logout_timeline() AS current,
      set_config('idle_in_transaction_session_timeout', ${String(stuckMs)}, true)
    FROM tenant WHERE id = 1 FOR UPDATE`
  if (tenant === undefined) throw tenantRowMissing()
  const { checkpoint, seq, now } = tenant
  await noteTimeline(tx, tenant)
  return { checkpoint, seq, now }
}

interface Timelines {
  /** That of the last writer; `null`: none has noted it yet. */
  timeline: string | null
  /** That of the server; `null`: it does not reveal it. */
  current: string | null
}

/** Two replicas promoted from one primary share the new timeline: the random id tells them apart. */
async function noteTimeline(tx: Executor, { timeline, current }: Timelines): Promise<void> {
  if (current === null || current === timeline) return
  await tx.$executeRaw`
    UPDATE tenant SET timeline = ${current},
      feed_id = CASE WHEN timeline IS NULL THEN feed_id ELSE gen_random_uuid() END`
}

/** No lease is held for longer without being renewed, in milliseconds. */
const MAX_LEASE_MS = 120_000

/**
 * Takes the lease, or renews one's own; false while another holds it. The database's clock decides, so
 * that the workers' own need not agree. A lease that ends later than any can is from before that clock
 * was set back: it is free.
 */
export async function acquireLease(
  prisma: PrismaClient,
  owner: string,
  ttlMs: number,
): Promise<boolean> {
  const after = (ms: number) => Prisma.sql`clock_timestamp() + ${ms}::float8 * interval '1 ms'`
  const taken = await prisma.$executeRaw`
    UPDATE tenant SET lease_owner = ${owner}, lease_until = ${after(Math.min(ttlMs, MAX_LEASE_MS))}
    WHERE lease_owner = ${owner} OR lease_until IS NULL OR lease_until < clock_timestamp()
      OR lease_until > ${after(MAX_LEASE_MS)}`
  return taken === 1
}

/** Sets where the log is read from, and what is to be swept. */
export async function setPlace(
  tx: Executor,
  checkpoint: string | null,
  sweep: Span | null,
): Promise<void> {
  await tx.$executeRaw`
    UPDATE tenant SET checkpoint = ${checkpoint},
      sweep_from = ${timestamp(sweep?.from ?? null)}, sweep_to = ${timestamp(sweep?.to ?? null)}`
}

/** Another sweep may have been asked for meanwhile: only what was read is taken off. */
export async function shrinkSweep(tx: Executor, { from, to }: Span): Promise<boolean> {
  const rest = Prisma.sql`sweep_from < ${timestamp(from)}`
  const shrunk = await tx.$executeRaw`
    UPDATE tenant SET
      sweep_from = CASE WHEN ${rest} THEN sweep_from END,
      sweep_to = CASE WHEN ${rest} THEN ${timestamp(from)} END
    WHERE sweep_to = ${timestamp(to)}`
  return shrunk === 1
}

/**
 * `as_of` moved forward to an instant of Auth0's clock: never back, except where it lies further ahead of
 * the database's clock than clocks may differ; and not to an instant that does.
 */
export function advanceAsOf(readTo: Instant | null, clock: SqlClock): Prisma.Sql {
  const latest = timestampOf(clock(), MAX_CLOCK_AHEAD_MS)
  const next = timestamp(readTo)
  return Prisma.sql`COALESCE(
    GREATEST(CASE WHEN as_of <= ${latest} THEN as_of END, CASE WHEN ${next} <= ${latest} THEN ${next} END),
    as_of)`
}

/** Returns the floor as it is then: it only rises. */
export async function raiseFloor(
  tx: Executor,
  { seq }: LockedTenant,
  at: Instant,
): Promise<Instant> {
  await tx.$executeRaw`
    UPDATE tenant SET floor_at = ${timestamp(at)}, floor_seq = ${seq + 1n}, seq = ${seq + 1n}
    WHERE floor_at IS NULL OR floor_at < ${timestamp(at)}`
  const [row] = await tx.$queryRaw<{ floor_at: Instant }[]>`
    SELECT ${toEpoch('floor_at')} AS floor_at FROM tenant`
  return row?.floor_at ?? at
}

interface ProgressRow {
  checkpoint: string | null
  as_of: Instant | null
  sweep_from: Instant | null
  sweep_to: Instant | null
  floor_at: Instant | null
  last_poll_at: Instant | null
  reconciled_to: Instant | null
  now: Instant
}

/** How far the log has been read. */
export async function readProgress(prisma: PrismaClient, clock: SqlClock): Promise<Progress> {
  const [row] = await prisma.$queryRaw<ProgressRow[]>`
    SELECT checkpoint, ${toEpoch('as_of')} AS as_of, ${toEpoch('sweep_from')} AS sweep_from,
      ${toEpoch('sweep_to')} AS sweep_to, ${toEpoch('floor_at')} AS floor_at,
      ${toEpoch('last_poll_at')} AS last_poll_at, ${toEpoch('reconciled_to')} AS reconciled_to,
      ${readClock(clock)} AS now
    FROM tenant`
  if (row === undefined) throw tenantRowMissing()
  const { checkpoint, sweep_from: from, sweep_to: to } = row
  return toProgress({
    checkpoint,
    asOf: row.as_of,
    sweep: from === null || to === null ? null : { from, to },
    floorAt: row.floor_at,
    lastPollAt: row.last_poll_at,
    reconciledTo: row.reconciled_to,
    now: row.now,
  })
}
