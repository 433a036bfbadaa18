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

/** Upper bound of the wait for a connection or a response, in milliseconds. */
const TIMEOUT_MS = 5_000

/** Settings of every session. BullMQ's statements name no schema, and are only tested at READ COMMITTED. */
const SETTINGS = {
  search_path: DEFAULT_SCHEMA,
  default_transaction_isolation: 'read committed',
}

/** SQLSTATE: read_only_sql_transaction. */
const READ_ONLY = '25006'

/** A client whose `error` event never ends the process, even without a listener. A failed query rejects in any case. */
class Client extends pg.Client {
  override emit(...[event, ...args]: Parameters<pg.Client['emit']>): boolean {
    return event === 'error' && this.listenerCount(event) === 0 ? false : super.emit(event, ...args)
  }
}

/**
 * Creates the connection pool of a queue and its worker. The worker keeps one connection for LISTEN. BullMQ uses this
 * pool, because its own connections can end the process when they break.
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
 * Checks that the queue can run in this database: the tables of the queue are up to date, the server accepts writes,
 * and no connection pooler is in between. Connects with the same settings as the queue.
 *
 * @throws `DATABASE_NOT_MIGRATED` when the tables of the queue are missing or too old.
 * @throws `CONFIGURATION` when a connection pooler is in between, or the database user lacks a privilege.
 * @throws `DATABASE_UNAVAILABLE` when the connection fails or breaks, or the server is read-only.
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
    // PostgreSQL accepts startup options. If a connection succeeds only without them, it leads to a pooler.
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
