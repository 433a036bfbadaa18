import { Socket } from 'node:net'
import {
  assertSchemaCompatibility,
  DEFAULT_SCHEMA,
  LATEST_SCHEMA_VERSION,
  runMigrations,
  SchemaMigrationRequiredError,
} from 'bullmq'
import pg from 'pg'
import { LastLogoutError } from '../errors.js'

/** How long PostgreSQL may take to accept a connection, or to answer. */
const TIMEOUT_MS = 5_000

/** How long a connection is used: one to a server that was demoted may live on. */
const LIFETIME_SECONDS = 60

/** How long one statement of a migration may take, in milliseconds. */
const MIGRATION_TIMEOUT_MS = 600_000

/** Whoever uses a connection that breaks is told by the query; unheard, the event ends the process. */
class Client extends pg.Client {
  override emit(...[event, ...args]: Parameters<pg.Client['emit']>): boolean {
    return event === 'error' && this.listenerCount(event) === 0 ? false : super.emit(event, ...args)
  }
}

/**
 * Connections for a queue and its worker, which keeps one of them for LISTEN. Those that BullMQ
 * opens by itself end the process when they break at the wrong moment.
 */
export function createQueuePool(databaseUrl: string, timeoutMs = TIMEOUT_MS): pg.Pool {
  const sockets = new Set<Socket>()
  const pool = new pg.Pool({
    Client,
    stream: () => {
      const socket = new Socket()
      sockets.add(socket)
      return socket.once('close', () => sockets.delete(socket))
    },
    connectionString: databaseUrl,
    options: `-c search_path=${DEFAULT_SCHEMA}`,
    max: 5,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
    maxLifetimeSeconds: LIFETIME_SECONDS,
    keepAlive: true,
  })
  const end = pool.end.bind(pool) as () => Promise<void>
  pool.end = (async () => {
    // A server that has fallen silent does not say goodbye.
    const cut = () => {
      for (const socket of sockets) socket.destroy()
    }
    setTimeout(cut, timeoutMs).unref()
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

/** Throws `DATABASE_NOT_MIGRATED` when the queue's tables are missing or older than this program. */
export async function assertQueueMigrated(
  databaseUrl: string,
  timeoutMs = TIMEOUT_MS,
): Promise<void> {
  const version = await withClient(databaseUrl, readVersion, { timeoutMs })
  if (version < LATEST_SCHEMA_VERSION) {
    throw new LastLogoutError('DATABASE_NOT_MIGRATED', 'run `last-logout migrate`')
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

async function withClient<T>(
  url: string,
  use: (client: pg.Client) => Promise<T>,
  limits: { timeoutMs?: number; queryTimeoutMs?: number },
): Promise<T> {
  const { timeoutMs = TIMEOUT_MS, queryTimeoutMs = timeoutMs } = limits
  const socket = new Socket()
  const client = new Client({
    stream: () => socket,
    connectionString: url,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: queryTimeoutMs,
  })
  await client.connect()
  try {
    return await use(client)
  } finally {
    // A server that has fallen silent does not say goodbye.
    const late = setTimeout(() => socket.destroy(), timeoutMs)
    await client.end()
    clearTimeout(late)
  }
}
