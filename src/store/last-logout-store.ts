import { LastLogoutError } from '../errors.js'
import type {
  Batch,
  LastLogoutStore,
  Progress,
  ReportedLogout,
  Span,
  StoredPage,
} from '../ports.js'
import type { Instant } from '../rules/instant.js'
import { readChanges } from './changes.js'
import { query, tenantRowMissing } from './database.js'
import { readGaps, storeGap } from './gaps.js'
import { Prisma, type PrismaClient } from './generated/client.js'
import { instant, readKnown } from './read-known.js'
import { count, prune } from './retention.js'
import { type Executor, timestamp, writeBatch } from './write-batch.js'

/** How long a page may wait for the tenant row's lock, and be written. */
const TRANSACTION = { maxWait: 10_000, timeout: 60_000 }

const STUCK_MS = 30_000

/** What the store is made of. */
export interface StoreOptions {
  prisma: PrismaClient
  /** The tenant's canonical domain. */
  domain: string
  /** How long a gap can still concern a living token. */
  gapConcernsMs: number
  now: () => Instant
  /** When a writer that hangs with the lock in its hands loses it, in milliseconds; default 30,000. */
  stuckMs?: number
}

interface LockedTenant {
  checkpoint: string | null
  seq: bigint
}

/** The store over PostgreSQL. */
export function createLastLogoutStore(options: StoreOptions): LastLogoutStore {
  const { prisma, domain, gapConcernsMs, now, stuckMs = STUCK_MS } = options

  /** Every write runs in here: one lock, so that the order of feed positions is the order of commits. */
  const write = <T>(run: (tx: Executor, tenant: LockedTenant) => Promise<T>): Promise<T> =>
    query(() =>
      prisma.$transaction(async (tx) => run(tx, await lockTenant(tx, stuckMs)), TRANSACTION),
    )

  return {
    claim: () => query(() => claim(prisma, domain)),
    readProgress: () => query(() => readProgress(prisma)),
    readKnown: (userId, sessionId) =>
      query(() => readKnown(prisma, userId, sessionId, now() - gapConcernsMs)),
    readChanges: (changes) => query(() => readChanges(prisma, changes)),
    count: () => query(() => count(prisma)),

    acquireLease: (owner, ttlMs) => query(() => acquireLease(prisma, owner, ttlMs)),
    releaseLease: (owner) =>
      query(async () => {
        await prisma.$executeRaw`
          UPDATE tenant SET lease_owner = NULL, lease_until = NULL WHERE lease_owner = ${owner}`
      }),

    begin: (checkpoint, sweep) =>
      write(async (tx, tenant) => {
        if (tenant.checkpoint === null) await setPlace(tx, checkpoint, sweep)
      }),
    moveCheckpoint: (from, to, sweep) =>
      write(async (tx, tenant) => {
        if (tenant.checkpoint !== from) return false
        await setPlace(tx, to, sweep)
        return true
      }),
    storePage: (page) => write((tx, tenant) => storePage(tx, tenant, page)),
    storeSweep: (batch, part) =>
      write(async (tx, tenant) => {
        await storeBatch(tx, tenant, batch)
        return shrinkSweep(tx, part)
      }),
    storeBatch: (batch) => write((tx, tenant) => storeBatch(tx, tenant, batch)),
    storeReconciled: (batch) =>
      write(async (tx, tenant) => {
        const advanced = await storeBatch(tx, tenant, batch)
        await tx.$executeRaw`UPDATE tenant SET reconciled = reconciled + ${advanced}`
        return advanced
      }),
    finishReconcile: (at) =>
      query(async () => {
        await prisma.$executeRaw`
          UPDATE tenant SET reconciled_to = GREATEST(reconciled_to, ${timestamp(at)}::timestamptz)`
      }),
    storeReported: (logout) =>
      write(async (tx, tenant) => void (await storeBatch(tx, tenant, toBatch(logout)))),
    raiseFloor: async (at) => {
      if (at > now()) throw new RangeError('the floor cannot be in the future')
      return write((tx, tenant) => raiseFloor(tx, tenant, at))
    },
    storeGap: (gap, raisesFloor) =>
      write(async (tx, tenant) => {
        const isNews = await storeGap(tx, gap)
        // Auth0's clock may be ahead of ours; the floor may not.
        if (raisesFloor) await raiseFloor(tx, tenant, Math.min(gap.to, now()))
        return isNews
      }),
    readGaps: () => query(() => readGaps(prisma)),
    prune: (before, between) => query(() => prune(prisma, before, between)),
    storeCaughtUp: (checkpoint, askedAt) =>
      query(async () => {
        // GREATEST passes over NULL. What the sweep has not read yet is not fresh.
        await prisma.$executeRaw`
          UPDATE tenant SET last_poll_at = now(), as_of = CASE
            WHEN sweep_to IS NULL THEN GREATEST(as_of, ${timestamp(askedAt)}::timestamptz)
            ELSE as_of END
          WHERE checkpoint IS NOT DISTINCT FROM ${checkpoint}`
      }),
  }
}

/** A database that nothing was stored in may still be given to another tenant. */
const NOTHING_READ = Prisma.sql`
  tenant.checkpoint IS NULL AND tenant.as_of IS NULL AND tenant.seq = 0`

async function claim(prisma: PrismaClient, domain: string): Promise<void> {
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
async function lockTenant(tx: Executor, stuckMs: number): Promise<LockedTenant> {
  const [tenant] = await tx.$queryRaw<LockedTenant[]>`
    SELECT checkpoint, GREATEST(seq, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS seq,
      set_config('idle_in_transaction_session_timeout', ${String(stuckMs)}, true)
    FROM tenant WHERE id = 1 FOR UPDATE`
  if (tenant === undefined) throw tenantRowMissing()
  return tenant
}

async function acquireLease(prisma: PrismaClient, owner: string, ttlMs: number): Promise<boolean> {
  // The database's clock decides, so that the workers' own need not agree.
  const taken = await prisma.$executeRaw`
    UPDATE tenant SET lease_owner = ${owner}, lease_until = now() + ${ttlMs} * interval '1 ms'
    WHERE lease_owner = ${owner} OR lease_until IS NULL OR lease_until < now()`
  return taken === 1
}

async function setPlace(
  tx: Executor,
  checkpoint: string | null,
  sweep: Span | null,
): Promise<void> {
  await tx.$executeRaw`
    UPDATE tenant SET checkpoint = ${checkpoint},
      sweep_from = ${sweep && timestamp(sweep.from)}::timestamptz,
      sweep_to = ${sweep && timestamp(sweep.to)}::timestamptz`
}

async function storePage(tx: Executor, tenant: LockedTenant, page: StoredPage): Promise<boolean> {
  if (tenant.checkpoint !== page.from) return false
  const { seq } = await writeBatch(tx, page.batch, tenant.seq)
  const storedAt = page.storedAt && timestamp(page.storedAt)
  await tx.$executeRaw`
    UPDATE tenant SET checkpoint = ${page.next}, seq = ${seq}, last_poll_at = now(),
      as_of = CASE WHEN as_of IS NOT NULL AND sweep_to IS NULL
        THEN GREATEST(as_of, ${storedAt}::timestamptz) ELSE as_of END`
  return true
}

async function storeBatch(tx: Executor, tenant: LockedTenant, batch: Batch): Promise<number> {
  const { seq, advanced } = await writeBatch(tx, batch, tenant.seq)
  await tx.$executeRaw`UPDATE tenant SET seq = ${seq}`
  return advanced
}

/** Another sweep may have been asked for meanwhile: only what was read is taken off. */
async function shrinkSweep(tx: Executor, { from, to }: Span): Promise<boolean> {
  const rest = Prisma.sql`sweep_from < ${timestamp(from)}::timestamptz`
  const shrunk = await tx.$executeRaw`
    UPDATE tenant SET
      sweep_from = CASE WHEN ${rest} THEN sweep_from END,
      sweep_to = CASE WHEN ${rest} THEN ${timestamp(from)}::timestamptz END
    WHERE sweep_to = ${timestamp(to)}::timestamptz`
  return shrunk === 1
}

function toBatch({ userId, sessionId, at, type }: ReportedLogout): Batch {
  const origin = { at, logId: '', type }
  return {
    users: [{ userId, allSessionsAt: sessionId === null ? at : null, ...origin }],
    sessions: sessionId === null ? [] : [{ sessionId, userId, ended: false, ...origin }],
    unattributable: [],
  }
}

async function raiseFloor(tx: Executor, { seq }: LockedTenant, at: Instant): Promise<Instant> {
  await tx.$executeRaw`
    UPDATE tenant SET floor_at = ${timestamp(at)}::timestamptz, floor_seq = ${seq + 1n}, seq = ${seq + 1n}
    WHERE floor_at IS NULL OR floor_at < ${timestamp(at)}::timestamptz`
  const [row] = await tx.$queryRaw<{ floor_at: Date }[]>`SELECT floor_at FROM tenant`
  return row?.floor_at.getTime() ?? at
}

async function readProgress(prisma: PrismaClient): Promise<Progress> {
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
