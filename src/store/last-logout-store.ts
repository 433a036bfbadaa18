import { LastLogoutError } from '../errors.js'
import type { Batch, LastLogoutStore, ReportedLogout, StoredPage } from '../ports.js'
import { isAhead } from '../rules/freshness.js'
import type { Instant } from '../rules/instant.js'
import { settleReported } from '../rules/reported.js'
import { readChanges } from './changes.js'
import { clockAhead } from './clock-ahead.js'
import { query } from './database.js'
import { databaseClock, readClock, type SqlClock, timestamp, timestampOf } from './epoch.js'
import { readGaps, storePastGap } from './gaps.js'
import type { PrismaClient } from './generated/client.js'
import { readKnown } from './read-known.js'
import { count, prune } from './retention.js'
import {
  acquireLease,
  advanceAsOf,
  claim,
  type LockedTenant,
  lockTenant,
  raiseFloor,
  readProgress,
  setPlace,
  shrinkSweep,
} from './tenant-row.js'
import { type Executor, writeBatch } from './write-batch.js'

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
  /** Default: the database's. */
  clock?: SqlClock | undefined
  /** When a writer that hangs with the lock in its hands loses it, in milliseconds; default 30,000. */
  stuckMs?: number
}

/** The store over PostgreSQL. */
export function createLastLogoutStore(options: StoreOptions): LastLogoutStore {
  const { prisma, domain, gapConcernsMs, clock = databaseClock, stuckMs = STUCK_MS } = options

  /** Every write runs in here: one lock, so that the order of feed positions is the order of commits. */
  const write = <T>(run: (tx: Executor, tenant: LockedTenant) => Promise<T>): Promise<T> =>
    query(() =>
      prisma.$transaction(async (tx) => run(tx, await lockTenant(tx, clock, stuckMs)), TRANSACTION),
    )

  return {
    claim: () => query(() => claim(prisma, domain)),
    readProgress: () => query(() => readProgress(prisma, clock)),
    readKnown: (userId, sessionId) =>
      query(() => readKnown(prisma, clock, { userId, sessionId, gapConcernsMs })),
    readChanges: (changes) => query(() => readChanges(prisma, clock, changes)),
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
    async storePage(page) {
      const stored = await write((tx, tenant) => storePage(tx, clock, tenant, page))
      if (stored instanceof LastLogoutError) throw stored
      return stored
    },
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
          UPDATE tenant SET reconciled_to =
            GREATEST(reconciled_to, LEAST(${timestamp(at)}, ${timestampOf(clock())}))`
      }),
    storeReported: (logout) => write((tx, tenant) => storeReported(tx, tenant, logout)),
    raiseFloor: (at) =>
      write((tx, tenant) => {
        if (at !== null && at > tenant.now) {
          throw new RangeError('the floor cannot be in the future of the database')
        }
        return raiseFloor(tx, tenant, at ?? tenant.now)
      }),
    storeGap: (gap, raisesFloor) =>
      write((tx, tenant) => storePastGap(tx, tenant, gap, raisesFloor)),
    readGaps: () => query(() => readGaps(prisma)),
    prune: (retainMs, onBatch) => query(() => prune(prisma, clock, { retainMs, onBatch })),
    storeCaughtUp: (checkpoint, askedAt) =>
      query(() => storeCaughtUp(prisma, clock, { checkpoint, askedAt })),
  }
}

/**
 * Returns `CLOCK_AHEAD`, which thrown in here would undo the write, where the page was stored too far ahead of
 * the clock of the database. Its logouts count, although too early. The checkpoint stays: they are read again
 * when the clock is right, and get their instants before anything is fresh.
 */
async function storePage(
  tx: Executor,
  clock: SqlClock,
  tenant: LockedTenant,
  page: StoredPage,
): Promise<boolean | LastLogoutError> {
  if (tenant.checkpoint !== page.from) return false
  if (page.storedAt !== null && isAhead(page.storedAt, tenant.now)) {
    await storeBatch(tx, tenant, page.batch)
    return clockAhead(page.storedAt)
  }
  const { seq } = await writeBatch(tx, page.batch, tenant)
  await tx.$executeRaw`
    UPDATE tenant SET checkpoint = ${page.next}, seq = ${seq}, last_poll_at = ${timestampOf(clock())},
      as_of = CASE WHEN as_of IS NOT NULL AND sweep_to IS NULL
        THEN ${advanceAsOf(page.storedAt, clock)} ELSE as_of END`
  return true
}

interface CaughtUp {
  checkpoint: string | null
  askedAt: Instant
}

/** What the sweep has not read yet is not fresh. */
async function storeCaughtUp(
  prisma: PrismaClient,
  clock: SqlClock,
  { checkpoint, askedAt }: CaughtUp,
): Promise<void> {
  const [row] = await prisma.$queryRaw<{ now: Instant }[]>`
    UPDATE tenant SET last_poll_at = ${timestampOf(clock())},
      as_of = CASE WHEN sweep_to IS NULL THEN ${advanceAsOf(askedAt, clock)} ELSE as_of END
    WHERE checkpoint IS NOT DISTINCT FROM ${checkpoint}
    RETURNING ${readClock(clock)} AS now`
  if (row !== undefined && isAhead(askedAt, row.now)) throw clockAhead(askedAt)
}

async function storeBatch(tx: Executor, tenant: LockedTenant, batch: Batch): Promise<number> {
  const { seq, advanced } = await writeBatch(tx, batch, tenant)
  await tx.$executeRaw`UPDATE tenant SET seq = ${seq}`
  return advanced
}

async function storeReported(
  tx: Executor,
  tenant: LockedTenant,
  { userId, sessionId, type, ...reported }: ReportedLogout,
): Promise<Instant | null> {
  const at = settleReported(reported.at ?? tenant.now, tenant.now)
  if (at === null) return null
  const origin = { at, logId: '', type }
  await storeBatch(tx, tenant, {
    users: [{ userId, allSessionsAt: sessionId === null ? at : null, ...origin }],
    sessions: sessionId === null ? [] : [{ sessionId, userId, ended: false, ...origin }],
    unattributable: [],
  })
  return at
}
