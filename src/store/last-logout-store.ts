import type { Batch, LastLogoutStore, ReportedLogout, StoredPage } from '../ports.js'
import type { Instant } from '../rules/instant.js'
import { readChanges } from './changes.js'
import { query } from './database.js'
import { readGaps, storeGap } from './gaps.js'
import type { PrismaClient } from './generated/client.js'
import { readKnown } from './read-known.js'
import { count, prune } from './retention.js'
import {
  acquireLease,
  claim,
  type LockedTenant,
  lockTenant,
  raiseFloor,
  readProgress,
  setPlace,
  shrinkSweep,
} from './tenant-row.js'
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

function toBatch({ userId, sessionId, at, type }: ReportedLogout): Batch {
  const origin = { at, logId: '', type }
  return {
    users: [{ userId, allSessionsAt: sessionId === null ? at : null, ...origin }],
    sessions: sessionId === null ? [] : [{ sessionId, userId, ended: false, ...origin }],
    unattributable: [],
  }
}
