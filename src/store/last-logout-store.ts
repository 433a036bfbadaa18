import { LastLogoutError } from '../errors.js'
import type { LastLogoutStore } from '../ports.js'
import { readChanges } from './changes.js'
import {
  type Database,
  isRefusedRow,
  query,
  TRANSACTION,
  type Transact,
  type Transaction,
} from './database.js'
import { databaseClock, type SqlClock } from './epoch.js'
import { raiseFloor } from './floor.js'
import { forget } from './forget.js'
import { finishReconcile, storeCaughtUp } from './freshness.js'
import { readGaps, writeGap } from './gaps.js'
import { acquireLease, releaseLease } from './lease.js'
import { createLogoutReader } from './read-known-logouts.js'
import { createReportWriter } from './report-writer.js'
import { count, prune } from './retention.js'
import { storeBatch, storePage, storeReconciled, storeSweep } from './store-batch.js'
import {
  claim,
  compareAndSetCheckpoint,
  type LockedTenant,
  limitIdleTime,
  lockTenant,
  readProgress,
  setFirstCheckpoint,
} from './tenant-row.js'

const IDLE_TRANSACTION_TIMEOUT_MS = 30_000

/** Options of the store. */
export interface LastLogoutStoreOptions {
  database: Pick<Database, 'prisma' | 'queryPrepared'>
  /** The tenant's canonical domain. */
  domain: string
  /**
   * How long after its login a token can be valid, in milliseconds. After this time, a logout or a gap concerns no valid
   * token.
   */
  horizonMs: number
  /** Default: {@link databaseClock}. */
  clock?: SqlClock | undefined
  /** After this time, an unresponsive writer loses the lock of the tenant row, in milliseconds. Default: 30,000. */
  idleTransactionTimeoutMs?: number
  /** Upper bound of the wait of a read for its statement, in milliseconds. Default: that of {@link createLogoutReader}. */
  maxReadWaitMs?: number | undefined
}

/** Runs in a transaction that has locked the tenant row. */
type Write<T> = (tx: Transaction, tenant: LockedTenant) => Promise<T>

/** Creates the store, whose data is in PostgreSQL. */
export function createLastLogoutStore(options: LastLogoutStoreOptions): LastLogoutStore {
  const { database, domain, horizonMs, clock = databaseClock } = options
  const { prisma } = database
  const { idleTransactionTimeoutMs = IDLE_TRANSACTION_TIMEOUT_MS, maxReadWaitMs } = options

  const inTransaction: Transact = (run) => query(() => prisma.$transaction(run, TRANSACTION))

  /** Runs a write that locks only the rows that it changes. */
  const transact: Transact = (run) =>
    inTransaction(async (tx) => {
      await limitIdleTime(tx, idleTransactionTimeoutMs)
      return run(tx)
    })

  /** Runs a write under the lock of the tenant row, so that feed positions are in the order of commits. */
  const write = <T>(run: Write<T>): Promise<T> =>
    inTransaction(async (tx) => run(tx, await lockTenant(tx, clock, idleTransactionTimeoutMs)))

  /** Writes entries of the log. If PostgreSQL refuses a row, the other rows are stored. */
  const writeEntries = <T>(run: Write<T>): Promise<T> =>
    write(run).catch((error) => {
      if (!isRefusedRow(error)) throw error
      return write((tx, tenant) => run(tx, { ...tenant, isolatesRows: true }))
    })

  return {
    claim: () => transact((tx) => claim(tx, domain)),
    readProgress: () => query(() => readProgress(prisma, clock)),
    readKnownLogouts: createLogoutReader(database, clock, { horizonMs, maxWaitMs: maxReadWaitMs }),
    readChanges: (changes) => query(() => readChanges(prisma, clock, changes)),
    readGaps: () => query(() => readGaps(prisma)),
    count: () => query(() => count(prisma)),
    prune: (retainMs, onBatch) => prune(transact, clock, { retainMs, horizonMs, onBatch }),

    acquireLease: (owner, ttlMs) => transact((tx) => acquireLease(tx, owner, ttlMs)),
    releaseLease: (owner) => transact((tx) => releaseLease(tx, owner)),
    finishReconcile: (at) => transact((tx) => finishReconcile(tx, clock, at)),
    async storeCaughtUp(checkpoint, requestedAt) {
      const failure = await transact((tx) => storeCaughtUp(tx, clock, { checkpoint, requestedAt }))
      if (failure !== null) throw failure
    },

    setFirstCheckpoint: (to, sweep) =>
      write((tx, tenant) => setFirstCheckpoint(tx, tenant, { to, sweep })),
    moveCheckpoint: (from, to, sweep) =>
      write((tx, tenant) => compareAndSetCheckpoint(tx, tenant, { from, to, sweep })),
    async storePage(page) {
      const stored = await writeEntries((tx, tenant) => storePage(tx, tenant, clock, page))
      if (stored instanceof LastLogoutError) throw stored
      return stored
    },
    storeSweep: (batch, part) => writeEntries((tx, tenant) => storeSweep(tx, tenant, batch, part)),
    storeBatch: (batch) => writeEntries((tx, tenant) => storeBatch(tx, tenant, batch)),
    storeReconciled: (batch) => writeEntries((tx, tenant) => storeReconciled(tx, tenant, batch)),
    storeReported: createReportWriter(write),
    storeGap: (gap, raisesFloor) => write((tx, tenant) => writeGap(tx, tenant, gap, raisesFloor)),
    forget: (userId) => write((tx, tenant) => forget(tx, tenant, userId)),
    raiseFloor: (at) => write((tx, tenant) => raiseFloor(tx, tenant, at)),
  }
}
