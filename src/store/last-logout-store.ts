import { LastLogoutError } from '../errors.js'
import type { LastLogoutStore } from '../ports.js'
import { readChanges } from './changes.js'
import { query } from './database.js'
import { databaseClock, type SqlClock } from './epoch.js'
import { raiseFloor } from './floor.js'
import { finishReconcile, storeCaughtUp } from './freshness.js'
import { readGaps, writeGap } from './gaps.js'
import type { PrismaClient } from './generated/client.js'
import { acquireLease, releaseLease } from './lease.js'
import { readKnown } from './read-known.js'
import { count, prune } from './retention.js'
import { storeBatch, storePage, storeReconciled, storeReported, storeSweep } from './store-batch.js'
import {
  begin,
  claim,
  compareAndSetCheckpoint,
  type LockedTenant,
  lockTenant,
  readProgress,
} from './tenant-row.js'
import type { Executor } from './write-batch.js'

/** Upper bounds of a transaction, in milliseconds: the wait for a connection, and the run. */
const TRANSACTION = { maxWait: 10_000, timeout: 60_000 }

const IDLE_TRANSACTION_TIMEOUT_MS = 30_000

/** Options of the store. */
export interface LastLogoutStoreOptions {
  prisma: PrismaClient
  /** The tenant's canonical domain. */
  domain: string
  /**
   * How long a gap can affect valid tokens, in milliseconds: the maximum age of a refresh token plus that of an
   * access token.
   */
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
    readGaps: () => query(() => readGaps(prisma)),
    count: () => query(() => count(prisma)),
    prune: (retainMs, onBatch) => query(() => prune(prisma, clock, { retainMs, onBatch })),

    acquireLease: (owner, ttlMs) => query(() => acquireLease(prisma, owner, ttlMs)),
    releaseLease: (owner) => query(() => releaseLease(prisma, owner)),
    finishReconcile: (at) => query(() => finishReconcile(prisma, clock, at)),
    storeCaughtUp: (checkpoint, askedAt) =>
      query(() => storeCaughtUp(prisma, clock, { checkpoint, askedAt })),

    begin: (to, sweep) => write((tx, tenant) => begin(tx, tenant, { to, sweep })),
    moveCheckpoint: (from, to, sweep) =>
      write((tx, tenant) => compareAndSetCheckpoint(tx, tenant, { from, to, sweep })),
    async storePage(page) {
      const stored = await write((tx, tenant) => storePage(tx, tenant, clock, page))
      if (stored instanceof LastLogoutError) throw stored
      return stored
    },
    storeSweep: (batch, part) => write((tx, tenant) => storeSweep(tx, tenant, batch, part)),
    storeBatch: (batch) => write((tx, tenant) => storeBatch(tx, tenant, batch)),
    storeReconciled: (batch) => write((tx, tenant) => storeReconciled(tx, tenant, batch)),
    storeReported: (logout) => write((tx, tenant) => storeReported(tx, tenant, logout)),
    storeGap: (gap, raisesFloor) => write((tx, tenant) => writeGap(tx, tenant, gap, raisesFloor)),
    raiseFloor: (at) => write((tx, tenant) => raiseFloor(tx, tenant, at)),
  }
}
