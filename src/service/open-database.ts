import { type Closers, createClosers } from '../async/closers.js'
import type { Config } from '../config/config.js'
import { findEmbeddedPostgres } from '../embedded-postgres/find.js'
import { createEmbeddedPostgres } from '../embedded-postgres/server.js'
import { LastLogoutError } from '../errors.js'
import type { QueueConnection } from '../jobs/jobs.js'
import { schemaOf } from '../pg/connection.js'
import { applyMigrations } from '../store/migrations.js'

/** A database that can be connected to. */
export interface OpenDatabase {
  url: string
  /** Rejects when an embedded database has stopped by itself. */
  gone: Promise<never>
}

/** How the embedded database is opened. */
export interface OpenOptions {
  durable: boolean
  /** Uses an existing database only, also that of a running process, with which it stops. */
  attachOnly: boolean
}

/**
 * Returns the configured database without connecting to it, or starts the embedded one.
 *
 * @throws `DATA_DIR_IN_USE` if another process uses the directory.
 * @throws `CONFIGURATION` if there is no database and `attachOnly` is set.
 */
export async function openDatabase(
  config: Config<'database'>,
  { durable, attachOnly }: OpenOptions,
  closers: Closers,
): Promise<OpenDatabase> {
  const { database } = config
  if (database.url !== undefined) return external(database.url)
  const { dataDir } = database
  const runningUrl = attachOnly ? await findRunning(dataDir) : undefined
  if (runningUrl !== undefined) return external(runningUrl)
  // No other program uses this database, so it is migrated at once.
  const embedded = await openEmbedded(dataDir, durable, closers)
  await migrateAll(config, embedded.url)
  return embedded
}

/** Creates or updates the tables, and those of the queue if it is in the same database. Returns the applied migrations. */
export async function migrate(config: Config<'database'>): Promise<string[]> {
  const { database } = config
  const closers = createClosers()
  try {
    // Prefer a direct connection to a transaction pooler.
    const url = database.url ?? (await openEmbedded(database.dataDir, true, closers)).url
    return await migrateAll(config, database.directUrl ?? url)
  } finally {
    await closers.close()
  }
}

/** Where BullMQ stores its queue. */
export function queueConnection(config: Config, databaseUrl: string): QueueConnection {
  const { redisUrl, database } = config
  return redisUrl === undefined
    ? { kind: 'postgres', url: database.directUrl ?? databaseUrl }
    : { kind: 'redis', url: redisUrl }
}

/** What sets the queue of this tenant apart: two schemas of one database can serve the same tenant. */
export function queueName({ auth0 }: Config, databaseUrl: string): string {
  const schema = schemaOf(databaseUrl)
  return schema === 'public' ? auth0.domain : `${auth0.domain}/${schema}`
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
        `there is no database in ${dataDir}: check DATA_DIR; \`last-logout start\` creates a database there`,
      )
    case 'locked':
      throw new LastLogoutError(
        'DATA_DIR_IN_USE',
        `the database in ${dataDir} is in use (postgres/postmaster.pid) but not reachable from here: run this command where the service runs, for example in its container (docker exec); if no service runs, it has crashed: start it, then run this command again`,
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
      `the PostgreSQL server in ${dataDir} has stopped by itself: read postgres.log there, then start this program again`,
    )
  })
  // A rejection that no caller awaits must not end the process.
  gone.catch(() => {})
  return { url: embedded.url, gone }
}

async function migrateAll(config: Config, databaseUrl: string): Promise<string[]> {
  const applied = await applyMigrations(databaseUrl)
  const queue = queueConnection(config, databaseUrl)
  if (queue.kind === 'postgres') {
    // Loads BullMQ only where it is needed.
    const { migrateQueue } = await import('../jobs/postgres.js')
    await migrateQueue(queue.url)
  }
  return applied
}
