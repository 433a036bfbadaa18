import type { Logger } from 'pino'
import { createClosers } from '../async/closers.js'
import type { Config } from '../config/config.js'
import type { PoolTimeouts } from '../pg/pool.js'
import type { LastLogoutStore } from '../ports.js'
import { tokenHorizonMs } from '../rules/gap-state.js'
import type { Instant } from '../rules/instant.js'
import { createDatabase } from '../store/database.js'
import { clockForTests } from '../store/epoch.js'
import { guardStore } from '../store/guard.js'
import { createLastLogoutStore } from '../store/last-logout-store.js'
import { assertUsable } from '../store/migrations.js'
import { openWhenAvailable } from '../store/open-when-available.js'
import { assertServerSupported } from '../store/supported-server.js'
import { openDatabase } from './open-database.js'

/** How a store is opened. */
export interface StoreOptions {
  /** `false`: an embedded database can lose data when the machine stops. Default: true. */
  durable?: boolean
  /**
   * `true`: uses the existing database in `DATA_DIR`, even if it belongs to a running service. Never creates a database.
   * Default: false.
   */
  attachOnly?: boolean
  /**
   * `true`: an unavailable database is not an error. Until `waitUntilOpen` resolves, the store rejects calls with
   * `DATABASE_UNAVAILABLE`. Default: false.
   */
  waitForDatabase?: boolean
  /** The parts that tests replace. */
  overrides?: StoreOverrides
}

/** The parts of a store that tests replace. */
export interface StoreOverrides {
  /**
   * Replaces the clock of the database. The expiry of leases, and the times at which unattributable entries were
   * received, still follow the database's own clock.
   */
  now?: () => Instant
  /** Default: the timeouts of `createPool`. */
  poolTimeouts?: PoolTimeouts
}

/** The store of a tenant, and the database behind it. */
export interface OpenStore {
  store: LastLogoutStore
  databaseUrl: string
  /** Rejects if an embedded database stops although it was not closed. */
  failed: Promise<never>
  /** Resolves when the database is available and claimed for this tenant: at once if `waitForDatabase` is false. */
  waitUntilOpen(signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** Opens the configured database and claims it for the tenant. */
export async function openStore(
  config: Config<'database'>,
  log: Logger,
  {
    durable = true,
    attachOnly = false,
    waitForDatabase = false,
    overrides = {},
  }: StoreOptions = {},
): Promise<OpenStore> {
  const { now, poolTimeouts } = overrides
  const storeLog = log.child({ part: 'store' })
  const closers = createClosers()
  try {
    const { url: databaseUrl, failed } = await openDatabase(
      config,
      { durable, attachOnly },
      closers,
    )
    const database = createDatabase(databaseUrl, storeLog, poolTimeouts)
    closers.push(() => database.close())
    const unguarded = createLastLogoutStore({
      prisma: database.prisma,
      domain: config.auth0.domain,
      horizonMs: tokenHorizonMs(config),
      clock: now && clockForTests(now),
      maxReadWaitMs: poolTimeouts?.connectTimeoutMs,
    })
    const assertOpenable = async () => {
      await assertServerSupported(databaseUrl)
      await assertUsable(databaseUrl)
    }
    const { store, open } = guardStore(unguarded, assertOpenable, storeLog)
    const waitUntilOpen = await openWhenAvailable(open, { waitForDatabase, log: storeLog })
    return { store, databaseUrl, failed, waitUntilOpen, close: closers.close }
  } catch (error) {
    await closers.close()
    throw error
  }
}
