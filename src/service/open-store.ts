import type { Logger } from 'pino'
import { createClosers } from '../async/closers.js'
import type { Config } from '../config/config.js'
import type { PoolTimeouts } from '../pg/pool.js'
import type { LastLogoutStore } from '../ports.js'
import type { Instant } from '../rules/instant.js'
import { createDatabase } from '../store/database.js'
import { fixedClock } from '../store/epoch.js'
import { guardStore, openOrWait } from '../store/guard.js'
import { createLastLogoutStore } from '../store/last-logout-store.js'
import { assertMigrated } from '../store/migrations.js'
import { openDatabase } from './open-database.js'

/** How a store is opened. */
export interface StoreOptions {
  /** In place of the database's clock; not for leases, nor for when an unattributable entry was received. */
  now?: () => Instant
  /** How long the store waits for PostgreSQL. Default: those of `createPool`. */
  poolTimeouts?: PoolTimeouts
  /** False: an embedded database may lose its data when the machine stops. */
  durable?: boolean
  /** True: beside a service that runs in the same `DATA_DIR`, its database is used; none is made. */
  joins?: boolean
  /** True: a database that is away is no failure; until `opened`, whoever asks is told that it is. */
  waits?: boolean
}

/** A tenant's last logouts, and the database that they are in. */
export interface OpenStore {
  store: LastLogoutStore
  databaseUrl: string
  /** Rejects when the database is gone for good. */
  gone: Promise<never>
  /** Resolves when the database is there, and this tenant's; at once unless the store `waits`. */
  opened(signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** Opens the configured database, and what is known of the tenant in it. */
export async function openStore(
  config: Config<'database'>,
  log: Logger,
  options: StoreOptions = {},
): Promise<OpenStore> {
  const { now, poolTimeouts, durable = true, joins = false, waits = false } = options
  const storeLog = log.child({ part: 'store' })
  const closers = createClosers()
  try {
    const { url: databaseUrl, gone } = await openDatabase(config, { durable, joins }, closers)
    const database = createDatabase(databaseUrl, storeLog, poolTimeouts)
    closers.push(() => database.close())
    const unguarded = createLastLogoutStore({
      prisma: database.prisma,
      domain: config.auth0.domain,
      gapConcernsMs: config.maxRefreshAgeMs + config.maxTokenAgeMs,
      clock: now && fixedClock(now),
    })
    const { store, open } = guardStore(unguarded, () => assertMigrated(databaseUrl), storeLog)
    const opened = await openOrWait(open, { waits, log: storeLog })
    return { store, databaseUrl, gone, opened, close: closers.close }
  } catch (error) {
    await closers.close()
    throw error
  }
}
