import {
  assertSchemaCompatibility,
  LATEST_SCHEMA_VERSION,
  runMigrations,
  SchemaMigrationRequiredError,
} from 'bullmq'
import pg from 'pg'
import { LastLogoutError } from '../errors.js'

/** How long PostgreSQL may take to accept a connection. */
const CONNECT_TIMEOUT_MS = 5_000

/** Creates the queue's tables (schema `bullmq`) or brings them up to date. */
export async function migrateQueue(databaseUrl: string): Promise<void> {
  await withClient(databaseUrl, (client) => runMigrations(client))
}

/** Throws `DATABASE_NOT_MIGRATED` when the queue's tables are missing or older than this program. */
export async function assertQueueMigrated(databaseUrl: string): Promise<void> {
  const version = await withClient(databaseUrl, readVersion)
  if (version < LATEST_SCHEMA_VERSION) {
    throw new LastLogoutError('DATABASE_NOT_MIGRATED', 'run `last-logout migrate`')
  }
}

async function readVersion(client: pg.Client): Promise<number> {
  try {
    return await assertSchemaCompatibility(client)
  } catch (error) {
    if (error instanceof SchemaMigrationRequiredError) return 0
    throw error
  }
}

async function withClient<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  })
  // A connection that breaks also fails the query; unheard, this event would end the process.
  client.on('error', () => undefined)
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}
