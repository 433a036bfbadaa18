import { LastLogoutError } from '../errors.js'
import type { LastLogoutStore, ReportedLogout } from '../ports.js'
import type { Batch, StoredPage } from '../rules/batch.js'
import { isAhead } from '../rules/freshness.js'
import type { Instant } from '../rules/instant.js'
import { settleReported } from '../rules/reported.js'
import { readChanges } from './changes.js'
import { clockAhead } from './clock-ahead.js'
import { query } from './database.js'
import { databaseClock, readClock, type SqlClock, timestamp, timestampOf } from './epoch.js'
import { readGaps, writeGap } from './gaps.js'
import type { PrismaClient } from './generated/client.js'
import { readKnown } from './read-known.js'
import { count, prune } from './retention.js'
import {
  acquireLease,
  advanceAsOf,
  claim,
  type LockedTenant,
  lockTenant,
  readProgress,
  setCheckpoint,
  shrinkSweep,
  writeFloor,
} from './tenant-row.js'
import { type Executor, writeBatch } from './write-batch.js'

/** Upper bounds of a transaction, in milliseconds: the wait for a connection, and the run. */
const TRANSACTION = { maxWait: 10_000, timeout: 60_000 }

const IDLE_TRANSACTION_TIMEOUT_MS = 30_000

/** Options of the store. */
export interface LastLogoutStoreOptions {
  prisma: PrismaClient
  /** The tenant's canonical domain. */
  domain: string
  /** How long after its login a token can be valid, in milliseconds: how long a gap can concern tokens. */
  horizonMs: number
  /** Default: {@link databaseClock}. */
  clock?: SqlClock | undefined
  /** A writer that holds the lock and is unresponsive loses it after this time, in milliseconds. Default: 30,000. */
  idleTransactionTimeoutMs?: number
}

/** Creates the store over PostgreSQL. */
export function createLastLogoutStore(options: LastLogoutStoreOptions): LastLogoutStore {
  const { prisma, domain, horizonMs, clock = databaseClock } = options
  const { idleTransactionTimeoutMs = IDLE_TRANSACTION_TIMEOUT_MS } = options

  /** Runs every write under one lock, so that feed positions are in the order of commits. */
  const write = <T>(run: (tx: Executor, tenant: LockedTenant) => Promise<T>): Promise<T> =>
    query(() =>
      prisma.$transaction(
        async (tx) => run(tx, await lockTenant(tx, clock, idleTransactionTimeoutMs)),
        TRANSACTION,
      ),
    )

  return {
    claim: () => query(() => claim(prisma, domain)),
    readProgress: () => query(() => readProgress(prisma, clock)),
    readKnown: (userId, sessionId) =>
      query(() => readKnown(prisma, clock, { userId, sessionId, horizonMs })),
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
        if (tenant.checkpoint === null) await setCheckpoint(tx, checkpoint, sweep)
      }),
    moveCheckpoint: (from, to, sweep) =>
      write(async (tx, tenant) => {
        if (tenant.checkpoint !== from) return false
        await setCheckpoint(tx, to, sweep)
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
          throw new RangeError('the floor cannot be later than now by the clock of the database')
        }
        return writeFloor(tx, tenant, at ?? tenant.now)
      }),
    storeGap: (gap, raisesFloor) => write((tx, tenant) => writeGap(tx, tenant, gap, raisesFloor)),
    readGaps: () => query(() => readGaps(prisma)),
    prune: (retainMs, onBatch) => query(() => prune(prisma, clock, { retainMs, onBatch })),
    storeCaughtUp: (checkpoint, askedAt) =>
      query(() => storeCaughtUp(prisma, clock, { checkpoint, askedAt })),
  }
}

/**
 * Stores a page. If its storage time is too far ahead of the database's clock, its logouts are stored too early,
 * and the checkpoint does not move: once the clock is right they are read again, and get their instants before
 * freshness advances.
 *
 * @returns Whether the page was stored, or a `CLOCK_AHEAD` error: throwing it here would roll back the write.
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

/** Freshness does not advance while a part of the sweep is unread. */
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
