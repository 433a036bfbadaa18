import {
  assertSchemaCompatibility,
  DEFAULT_SCHEMA,
  LATEST_SCHEMA_VERSION,
  runMigrations,
  SchemaMigrationRequiredError,
} from 'bullmq'
import pg from 'pg'
import { LastLogoutError } from '../errors.js'
import { withClient } from '../pg/client.js'
import { createSockets } from '../pg/sockets.js'
import { MAX_LIFETIME_SECONDS, MIGRATION_TIMEOUT_MS } from '../pg/timeouts.js'

/** Upper bound of the wait for a connection or a response, in milliseconds. */
const TIMEOUT_MS = 5_000

/** A broken connection also rejects the query. Without a listener its event would end the process. */
class Client extends pg.Client {
  override emit(...[event, ...args]: Parameters<pg.Client['emit']>): boolean {
    return event === 'error' && this.listenerCount(event) === 0 ? false : super.emit(event, ...args)
  }
}

/**
 * Creates the connections of a queue and its worker, which keeps one for LISTEN. Connections that BullMQ opens
 * by itself can end the process when they break.
 */
export function createQueuePool(databaseUrl: string, timeoutMs = TIMEOUT_MS): pg.Pool {
  const sockets = createSockets()
  const pool = new pg.Pool({
    Client,
    stream: sockets.open,
    connectionString: databaseUrl,
    options: `-c search_path=${DEFAULT_SCHEMA}`,
    max: 5,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
    maxLifetimeSeconds: MAX_LIFETIME_SECONDS,
    keepAlive: true,
  })
  const end = pool.end.bind(pool) as () => Promise<void>
  pool.end = (async () => {
    sockets.destroyAfterGrace(timeoutMs)
    await end()
  }) as typeof pool.end
  return pool
}

/** Creates the queue's tables (schema `bullmq`) or brings them up to date. */
export async function migrateQueue(databaseUrl: string): Promise<void> {
  await withClient(databaseUrl, (client) => runMigrations(client), {
    queryTimeoutMs: MIGRATION_TIMEOUT_MS,
  })
}

/** @throws `DATABASE_NOT_MIGRATED` when the tables of the queue are missing or too old. */
export async function assertQueueMigrated(
  databaseUrl: string,
  timeoutMs = TIMEOUT_MS,
): Promise<void> {
  const version = await withClient(databaseUrl, readVersion, {
    connectTimeoutMs: timeoutMs,
    queryTimeoutMs: timeoutMs,
  })
  if (version < LATEST_SCHEMA_VERSION) {
    throw new LastLogoutError(
      'DATABASE_NOT_MIGRATED',
      'the tables of the job queue are missing or too old: run `last-logout migrate`',
    )
  }
}

async function readVersion(client: pg.Client): Promise<number> {
  try {
    return await assertSchemaCompatibility(client, DEFAULT_SCHEMA, { skipVersionCheck: true })
  } catch (error) {
    if (error instanceof SchemaMigrationRequiredError) return 0
    throw error
  }
}
