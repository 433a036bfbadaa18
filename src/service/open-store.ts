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
import { assertUsable, loadMigrations } from '../store/migrations.js'
import { openWhenAvailable } from '../store/open-when-available.js'
import { assertServerSupported } from '../store/supported-server.js'
import { openDatabase } from './open-database.js'

/** Options for opening a store. */
export interface StoreOptions {
  /** `false`: an embedded database can lose data when the machine stops. Default: true. */
  durable?: boolean
  /**
   * `true`: uses the existing database in `DATA_DIR`, even if a running service uses it. Never creates a database, and
   * never takes an unused database from another tenant.
   * Default: false.
   */
  attachOnly?: boolean
  /**
   * `true`: opens the store even if the database is unavailable. Until `waitUntilOpen` resolves, every call of the
   * store rejects with `DATABASE_UNAVAILABLE`. Default: false.
   */
  waitForDatabase?: boolean
  /** The parts that tests replace. */
  overrides?: StoreOverrides
}

/** The parts of a store that tests replace. */
export interface StoreOverrides {
  /**
   * Replaces the clock of the database, except for the expiry of leases and for the times at which unattributable
   * entries were received.
   */
  now?: () => Instant
  /** Default: the timeouts of `createPool`. */
  poolTimeouts?: PoolTimeouts
}

/** The store of a tenant, and the database behind it. */
export interface OpenStore {
  store: LastLogoutStore
  databaseUrl: string
  /** Returns the id of the database. Throws `DATABASE_UNAVAILABLE` before `waitUntilOpen` has resolved. */
  getDatabaseId(): string
  /** Rejects when an embedded database stops before it is closed. */
  failed: Promise<never>
  /** Resolves when the database is available and usable. If `waitForDatabase` is false, resolves at once. */
  waitUntilOpen(signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** Opens the configured database. A new database is assigned to the tenant; one schema serves one tenant. */
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
    // An upgrade can replace the files of this version while the process waits.
    if (waitForDatabase) await Promise.all([database.load(), loadMigrations()])
    const unguarded = createLastLogoutStore({
      database,
      domain: config.auth0.domain,
      horizonMs: tokenHorizonMs(config),
      clock: now && clockForTests(now),
      maxReadWaitMs: poolTimeouts?.connectTimeoutMs,
    })
    const assertOpenable = async () => {
      await assertServerSupported(databaseUrl)
      await assertUsable(databaseUrl)
    }
    const { store, open, getDatabaseId } = guardStore(unguarded, assertOpenable, storeLog, {
      // Only a process that reads or serves the log takes a database from another tenant.
      replacesUnused: !attachOnly,
    })
    const waitUntilOpen = await openWhenAvailable(open, { waitForDatabase, log: storeLog })
    return { store, databaseUrl, getDatabaseId, failed, waitUntilOpen, close: closers.close }
  } catch (error) {
    await closers.close()
    throw error
  }
}
