import { LastLogoutError } from '../errors.js'
import type { LastLogoutStore } from '../ports.js'
import { isAhead } from '../rules/freshness.js'
import { readChanges } from './changes.js'
import { clockAheadError } from './clock-ahead.js'
import { type Database, forTenant, query } from './database.js'
import { databaseClock, type SqlClock } from './epoch.js'
import { raiseFloor } from './floor.js'
import { forget } from './forget.js'
import { finishReconcile, startReconciling, storeCaughtUp } from './freshness.js'
import { readGaps, writeGap } from './gaps.js'
import { acquireLease, releaseLease } from './lease.js'
import { readProgress } from './progress-row.js'
import { createLogoutReader } from './read-known-logouts.js'
import { createReportWriter } from './report-writer.js'
import { count, prune } from './retention.js'
import { storeBatch, storeReconciled, storeSweep } from './store-batch.js'
import { storePage, storePageInOneStatement } from './store-page.js'
import { claim, compareAndSetCheckpoint, setFirstCheckpoint } from './tenant-row.js'
import { createWriters } from './writers.js'

const IDLE_TRANSACTION_TIMEOUT_MS = 30_000

/** Options of the store. */
export interface LastLogoutStoreOptions {
  database: Pick<Database, 'prisma' | 'queryPrepared'>
  /** The tenant's canonical domain. */
  domain: string
  /**
   * Maximum time from a login until its tokens expire, in milliseconds. Older logouts and gaps concern no valid token.
   */
  horizonMs: number
  /** Default: {@link databaseClock}. */
  clock?: SqlClock | undefined
  /**
   * Maximum idle time of a transaction, in milliseconds. Then PostgreSQL ends the session, which releases the lock of
   * the tenant row. Default: 30,000.
   */
  idleTransactionTimeoutMs?: number
  /**
   * Maximum time from a read to the start of its statement, in milliseconds. Default: as in {@link createLogoutReader}.
   */
  maxReadWaitMs?: number | undefined
  /** The wait that does not change the instant of a report, in milliseconds. Default: as in {@link createReportWriter}. */
  shortReportWaitMs?: number | undefined
}

/** Creates a store in PostgreSQL. */
export function createLastLogoutStore(options: LastLogoutStoreOptions): LastLogoutStore {
  const { domain, horizonMs, clock = databaseClock } = options
  const prisma = forTenant(options.database.prisma, domain)
  const database = { ...options.database, prisma }
  const { idleTransactionTimeoutMs = IDLE_TRANSACTION_TIMEOUT_MS, maxReadWaitMs } = options

  const { execute, transact, write, writeEntries } = createWriters(prisma, {
    clock,
    idleTransactionTimeoutMs,
  })
  return {
    claim: (claimOptions) => transact((tx) => claim(tx, domain, claimOptions)),
    readProgress: () => query(() => readProgress(prisma, clock)),
    readKnownLogouts: createLogoutReader(database, clock, { horizonMs, maxWaitMs: maxReadWaitMs }),
    readChanges: (changes) => query(() => readChanges(prisma, clock, changes)),
    readGaps: () => query(() => readGaps(prisma)),
    count: () => query(() => count(prisma)),
    prune: (retainMs, onBatch) => prune(transact, clock, { retainMs, horizonMs, onBatch }),

    acquireLease: (owner, ttlMs) =>
      execute((executor) => acquireLease(executor, clock, { owner, ttlMs })),
    releaseLease: (owner) => execute((executor) => releaseLease(executor, owner)),
    finishReconcile: (at) => transact((tx) => finishReconcile(tx, clock, at)),
    async storeCaughtUp(checkpoint, requestedAt) {
      const progress = await execute((executor) =>
        storeCaughtUp(executor, clock, { checkpoint, requestedAt }),
      )
      if (progress !== null && isAhead(requestedAt, progress.now))
        throw clockAheadError(requestedAt)
      return progress
    },

    setFirstCheckpoint: (to, sweep, startedAt) =>
      write(async (tx, tenant) => {
        const isSet = await setFirstCheckpoint(tx, tenant, { to, sweep })
        if (isSet && startedAt !== undefined) await startReconciling(tx, clock, startedAt)
      }),
    moveCheckpoint: (from, to, sweep) =>
      write((tx, tenant) => compareAndSetCheckpoint(tx, tenant, { from, to, sweep })),
    async storePage(page) {
      if (await storePageInOneStatement(database, clock, page)) return true
      const stored = await writeEntries((tx, tenant) => storePage(tx, tenant, clock, page))
      if (stored instanceof LastLogoutError) throw stored
      return stored
    },
    storeSweep: (batch, part) => writeEntries((tx, tenant) => storeSweep(tx, tenant, batch, part)),
    storeBatch: (batch) => writeEntries((tx, tenant) => storeBatch(tx, tenant, batch)),
    storeReconciled: (batch) => writeEntries((tx, tenant) => storeReconciled(tx, tenant, batch)),
    storeReported: createReportWriter(write, clock, options.shortReportWaitMs),
    storeGap: (gap, raisesFloor) => write((tx, tenant) => writeGap(tx, tenant, gap, raisesFloor)),
    forget: (userId) => forget({ prisma, write }, userId),
    raiseFloor: (at) => write((tx, tenant) => raiseFloor(tx, tenant, at)),
  }
}
