import { type Closers, createClosers } from '../async/closers.js'
import type { Config } from '../config/config.js'
import { findEmbeddedPostgres } from '../embedded-postgres/find.js'
import { createEmbeddedPostgres } from '../embedded-postgres/server.js'
import { LastLogoutError } from '../errors.js'
import type { QueueConnection } from '../jobs/jobs.js'
import { applyMigrations } from '../store/migrations.js'

/** Where the database is. */
export interface OpenDatabase {
  url: string
  /** Rejects when it is gone for good: an embedded one that ended by itself. */
  gone: Promise<never>
}

/** How the embedded database is opened. */
export interface OpenOptions {
  durable: boolean
  /** Whether to use that of a process that runs, which ends with that process, and to make none. */
  joins: boolean
}

/**
 * Finds the configured database, without asking it anything, or starts the embedded one. Throws `DATA_DIR_IN_USE`, and with
 * `joins` `CONFIGURATION` where there is none.
 */
export async function openDatabase(
  config: Config<'database'>,
  { durable, joins }: OpenOptions,
  closers: Closers,
): Promise<OpenDatabase> {
  const { database } = config
  if (database.url !== undefined) return external(database.url)
  const { dataDir } = database
  const runningUrl = joins ? await findRunning(dataDir) : undefined
  if (runningUrl !== undefined) return external(runningUrl)
  // Nobody else uses this database, so nobody else decides when its tables change.
  const embedded = await openEmbedded(dataDir, durable, closers)
  await migrateAll(config, embedded.url)
  return embedded
}

/** Creates or updates the tables, and those of the queue where it lives in the same database. */
export async function migrate(config: Config<'database'>): Promise<string[]> {
  const { database } = config
  const closers = createClosers()
  try {
    // Not through a transaction pooler, if it can be helped.
    const url = database.url ?? (await openEmbedded(database.dataDir, true, closers)).url
    return await migrateAll(config, database.directUrl ?? url)
  } finally {
    await closers.close()
  }
}

/** Where BullMQ keeps its schedule. */
export function queueConnection(config: Config, databaseUrl: string): QueueConnection {
  const { redisUrl, database } = config
  return redisUrl === undefined
    ? { kind: 'postgres', url: database.directUrl ?? databaseUrl }
    : { kind: 'redis', url: redisUrl }
}

/** A database that another process runs. */
function external(url: string): OpenDatabase {
  return { url, gone: new Promise(() => {}) }
}

async function findRunning(dataDir: string): Promise<string | undefined> {
  const found = await findEmbeddedPostgres(dataDir)
  switch (found.state) {
    case 'running':
      return found.url
    case 'stopped':
      return undefined
    case 'missing':
      throw new LastLogoutError(
        'CONFIGURATION',
        `there is no database in ${dataDir}: check DATA_DIR. \`last-logout start\` makes one`,
      )
    case 'locked':
      throw new LastLogoutError(
        'DATA_DIR_IN_USE',
        `the database in ${dataDir} is in use (postgres/postmaster.pid), and does not answer from here: run this where the service runs, such as in its container (docker exec). If none runs, it has crashed: start it again, and then run this`,
      )
    default:
      return found satisfies never
  }
}

async function openEmbedded(
  dataDir: string,
  durable: boolean,
  closers: Closers,
): Promise<OpenDatabase> {
  const embedded = await createEmbeddedPostgres({ dataDir, durable })
  let isClosing = false
  closers.push(() => {
    isClosing = true
    return embedded.close()
  })
  const gone = embedded.exited.then((): Promise<never> => {
    if (isClosing) return new Promise(() => {})
    throw new LastLogoutError(
      'DATABASE_UNAVAILABLE',
      `the PostgreSQL in ${dataDir} has ended by itself: see postgres.log there, then start this program again`,
    )
  })
  // Whoever does not wait for it need not handle it.
  gone.catch(() => {})
  return { url: embedded.url, gone }
}

async function migrateAll(config: Config, databaseUrl: string): Promise<string[]> {
  const applied = await applyMigrations(databaseUrl)
  const queue = queueConnection(config, databaseUrl)
  if (queue.kind === 'postgres') {
    // Loads BullMQ, which opening a database does not need.
    const { migrateQueue } = await import('../jobs/postgres.js')
    await migrateQueue(queue.url)
  }
  return applied
}
