import { type Closers, createClosers } from '../async/closers.js'
import type { Config } from '../config/config.js'
import { findEmbeddedPostgres } from '../embedded-postgres/find.js'
import { createEmbeddedPostgres } from '../embedded-postgres/server.js'
import { LastLogoutError } from '../errors.js'
import type { QueueConnection } from '../jobs/jobs.js'
import { schemaOf } from '../pg/connection.js'
import { applyMigrations } from '../store/migrations.js'
import { assertServerSupported } from '../store/supported-server.js'

/** A database that is ready for connections. */
export interface OpenDatabase {
  url: string
  /** Rejects when an embedded database stops before it is closed. */
  failed: Promise<never>
}

/** Options for opening the embedded database. */
export interface OpenOptions {
  /** `false`: the database can lose data when the machine stops. */
  durable: boolean
  /** `true`: uses only an existing database. If another process runs the database, this process does not stop it. */
  attachOnly: boolean
}

/**
 * Opens the configured database. With `DATABASE_URL`, returns this URL. With `DATA_DIR`, starts the embedded database.
 *
 * @throws `DATA_DIR_IN_USE` if another process uses the directory.
 * @throws `CONFIGURATION` if there is no database and `attachOnly` is true.
 */
export async function openDatabase(
  config: Config<'database'>,
  { durable, attachOnly }: OpenOptions,
  closers: Closers,
): Promise<OpenDatabase> {
  const { database } = config
  if (database.url !== undefined) return externalDatabase(database.url)
  const { dataDir } = database
  const runningUrl = attachOnly ? await findRunning(dataDir) : undefined
  if (runningUrl !== undefined) return externalDatabase(runningUrl)
  // No other program uses this database, so it can be migrated at once.
  const embedded = await openEmbedded(dataDir, durable, closers)
  await migrateAll(config, embedded.url)
  return embedded
}

/**
 * Creates or updates the tables of last-logout. If the queue is in PostgreSQL, also migrates the tables of the queue.
 *
 * @returns The names of the applied migrations of last-logout.
 */
export async function migrate(config: Config<'database'>): Promise<string[]> {
  const { database } = config
  const closers = createClosers()
  try {
    // Migrations need a session, which a pooler in transaction mode does not support. So a direct URL is preferred.
    const url = database.url ?? (await openEmbedded(database.dataDir, true, closers)).url
    return await migrateAll(config, database.directUrl ?? url)
  } finally {
    await closers.close()
  }
}

/** Returns the connection for BullMQ's queue: Redis, or PostgreSQL if no Redis is configured. */
export function queueConnection(config: Config, databaseUrl: string): QueueConnection {
  const { redisUrls, database } = config
  return redisUrls === undefined
    ? { kind: 'postgres', url: database.directUrl ?? databaseUrl }
    : { kind: 'redis', urls: redisUrls }
}

/**
 * Returns the name of the queue. On Redis, the id of the database is part of the name: several databases can use the same
 * Redis.
 */
export function queueName(
  config: Config,
  { databaseUrl, getDatabaseId }: { databaseUrl: string; getDatabaseId(): string },
): string {
  const name = queueNameInDatabase(config, databaseUrl)
  return config.redisUrls === undefined ? name : `${name}/${getDatabaseId()}`
}

/** Returns the name of the queue in PostgreSQL. The schema is part of it: two schemas can serve the same tenant. */
export function queueNameInDatabase({ auth0 }: Config, databaseUrl: string): string {
  const schema = schemaOf(databaseUrl)
  return schema === 'public' ? auth0.domain : `${auth0.domain}/${schema}`
}

/** Returns a database that this process does not start or stop. */
function externalDatabase(url: string): OpenDatabase {
  return { url, failed: new Promise(() => {}) }
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
        `the database in ${dataDir} is in use (postgres/postmaster.pid) but not reachable from here: run this command where the service runs, for example in its container (docker exec); if no service runs, the service has crashed: start it, then run this command again`,
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
  const failed = embedded.exited.then((): Promise<never> => {
    if (isClosing) return new Promise(() => {})
    throw new LastLogoutError(
      'DATABASE_UNAVAILABLE',
      `the PostgreSQL server in ${dataDir} has stopped by itself: read postgres.log there, then start this program again`,
    )
  })
  // A rejection that no caller awaits must not end the process.
  failed.catch(() => {})
  return { url: embedded.url, failed }
}

async function migrateAll(config: Config, databaseUrl: string): Promise<string[]> {
  await assertServerSupported(databaseUrl)
  const applied = await applyMigrations(databaseUrl)
  const queue = queueConnection(config, databaseUrl)
  if (queue.kind === 'postgres') {
    // BullMQ is loaded only if the queue is in PostgreSQL.
    const { migrateQueue } = await import('../jobs/queue-tables.js')
    await migrateQueue(queue.url)
  }
  return applied
}
