import { DEFAULT_SCHEMA } from 'bullmq'
import pg from 'pg'
import { LastLogoutError } from '../errors.js'
import { withClient } from '../pg/client.js'
import { toDriverOptions } from '../pg/connection.js'
import { receivesNotifications } from '../pg/notifications.js'
import { createSockets } from '../pg/sockets.js'
import { hasSqlState, PROTOCOL_VIOLATION } from '../pg/sql-state.js'
import { MAX_LIFETIME_SECONDS } from '../pg/timeouts.js'
import { unavailableError } from '../pg/unavailable.js'
import { assertTablesUsable } from './queue-tables.js'

/** Default timeout of connecting and of each response, in milliseconds. */
const TIMEOUT_MS = 5_000

/**
 * Settings of every session. BullMQ's statements do not name the schema. BullMQ's tests run at READ COMMITTED alone.
 */
const SETTINGS = {
  search_path: DEFAULT_SCHEMA,
  default_transaction_isolation: 'read committed',
}

/** SQLSTATE: read_only_sql_transaction. */
const READ_ONLY = '25006'

/**
 * A client that ignores an `error` event if the event has no listener. Otherwise, Node would end the process. A failed
 * query still rejects.
 */
class Client extends pg.Client {
  override emit(...[event, ...args]: Parameters<pg.Client['emit']>): boolean {
    return event === 'error' && this.listenerCount(event) === 0 ? false : super.emit(event, ...args)
  }
}

/**
 * Creates the connection pool of a queue and its worker. BullMQ must not open its own connections, because a connection
 * that breaks would end the process. The worker reserves one of the connections for LISTEN.
 */
export function createQueuePool(databaseUrl: string, timeoutMs = TIMEOUT_MS): pg.Pool {
  const sockets = createSockets()
  const pool = new pg.Pool({
    Client,
    stream: sockets.open,
    ...toDriverOptions(databaseUrl, SETTINGS),
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

/**
 * Checks that the queue can run in this database. Connects with the settings of the queue.
 *
 * @throws `DATABASE_NOT_MIGRATED` if the tables of the queue are missing or too old.
 * @throws `CONFIGURATION` if the URL leads to a connection pooler, or the database user lacks a privilege.
 * @throws `DATABASE_UNAVAILABLE` if the connection fails or breaks, or the server is read-only.
 */
export async function assertQueueUsable(
  databaseUrl: string,
  timeoutMs = TIMEOUT_MS,
): Promise<void> {
  const timeouts = { connectTimeoutMs: timeoutMs, queryTimeoutMs: timeoutMs }
  const check = (client: pg.Client) => checkSession(client, databaseUrl)
  try {
    await withClient(databaseUrl, check, { ...timeouts, settings: SETTINGS })
  } catch (error) {
    if (!hasSqlState(Object(error).cause, PROTOCOL_VIOLATION)) throw error
    // PostgreSQL accepts startup options. If a connection without these options succeeds, the server is a pooler.
    await withClient(databaseUrl, async () => {}, timeouts)
    throw poolerError('it refuses startup options')
  }
}

async function checkSession(client: pg.Client, databaseUrl: string): Promise<void> {
  await assertTablesUsable(client)
  const { rows } = await client.query<{ read_only: boolean; search_path: string }>(
    `SELECT current_setting('transaction_read_only')::boolean AS read_only,
       current_setting('search_path') AS search_path`,
  )
  const [session] = rows
  if (session?.search_path !== DEFAULT_SCHEMA) throw poolerError('it ignores startup options')
  if (session.read_only) throw unavailableError(undefined, READ_ONLY)
  if (!(await receivesNotifications(client, databaseUrl))) {
    throw poolerError('it does not deliver notifications (LISTEN)')
  }
}

function poolerError(reason: string): LastLogoutError {
  const message =
    `the job queue cannot run through a connection pooler such as PgBouncer: ${reason}. Set DATABASE_DIRECT_URL to ` +
    'the PostgreSQL server itself, without a pooler in between'
  return new LastLogoutError('CONFIGURATION', message)
}
