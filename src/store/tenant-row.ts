import { LastLogoutError } from '../errors.js'
import type { Progress } from '../ports.js'
import type { Instant } from '../rules/instant.js'
import type { Span } from '../rules/span.js'
import { tenantRowMissing } from './database.js'
import { Prisma, type PrismaClient } from './generated/client.js'
import { instant } from './read-known.js'
import { type Executor, timestamp } from './write-batch.js'

/** The tenant row, as whoever writes has locked it. */
export interface LockedTenant {
  checkpoint: string | null
  seq: bigint
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
 * Positions follow the clock of the database, in microseconds, so that none is given out twice: after a
 * restore or a promotion that lost some, those who follow would pass over what comes at the same ones.
 */
export async function lockTenant(tx: Executor, stuckMs: number): Promise<LockedTenant> {
  const [tenant] = await tx.$queryRaw<LockedTenant[]>`
    SELECT checkpoint, GREATEST(seq, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS seq,
      set_config('idle_in_transaction_session_timeout', ${String(stuckMs)}, true)
    FROM tenant WHERE id = 1 FOR UPDATE`
  if (tenant === undefined) throw tenantRowMissing()
  return tenant
}

/** Takes the lease, or renews one's own; false while another holds it. */
export async function acquireLease(
  prisma: PrismaClient,
  owner: string,
  ttlMs: number,
): Promise<boolean> {
  // The database's clock decides, so that the workers' own need not agree.
  const taken = await prisma.$executeRaw`
    UPDATE tenant SET lease_owner = ${owner}, lease_until = now() + ${ttlMs} * interval '1 ms'
    WHERE lease_owner = ${owner} OR lease_until IS NULL OR lease_until < now()`
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
      sweep_from = ${sweep && timestamp(sweep.from)}::timestamptz,
      sweep_to = ${sweep && timestamp(sweep.to)}::timestamptz`
}

/** Another sweep may have been asked for meanwhile: only what was read is taken off. */
export async function shrinkSweep(tx: Executor, { from, to }: Span): Promise<boolean> {
  const rest = Prisma.sql`sweep_from < ${timestamp(from)}::timestamptz`
  const shrunk = await tx.$executeRaw`
    UPDATE tenant SET
      sweep_from = CASE WHEN ${rest} THEN sweep_from END,
      sweep_to = CASE WHEN ${rest} THEN ${timestamp(from)}::timestamptz END
    WHERE sweep_to = ${timestamp(to)}::timestamptz`
  return shrunk === 1
}

/** Returns the floor as it is then: it only rises. */
export async function raiseFloor(
  tx: Executor,
  { seq }: LockedTenant,
  at: Instant,
): Promise<Instant> {
  await tx.$executeRaw`
    UPDATE tenant SET floor_at = ${timestamp(at)}::timestamptz, floor_seq = ${seq + 1n}, seq = ${seq + 1n}
    WHERE floor_at IS NULL OR floor_at < ${timestamp(at)}::timestamptz`
  const [row] = await tx.$queryRaw<{ floor_at: Date }[]>`SELECT floor_at FROM tenant`
  return row?.floor_at.getTime() ?? at
}

/** How far the log has been read. */
export async function readProgress(prisma: PrismaClient): Promise<Progress> {
  const tenant = await prisma.tenant.findUniqueOrThrow({ where: { id: 1 } })
  const { checkpoint, asOf, sweepFrom, sweepTo, floorAt, lastPollAt, reconciledTo } = tenant
  return {
    checkpoint,
    asOf: instant(asOf),
    sweep: sweepFrom && sweepTo && { from: sweepFrom.getTime(), to: sweepTo.getTime() },
    floorAt: instant(floorAt),
    lastPollAt: instant(lastPollAt),
    reconciledTo: instant(reconciledTo),
  }
}
