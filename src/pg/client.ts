import pg from 'pg'
import { toDriverOptions } from './connection.js'
import { requireScram } from './require-scram.js'
import { createSockets } from './sockets.js'
import { isUnavailableState } from './sql-state.js'
import { CONNECT_TIMEOUT_MS, QUERY_TIMEOUT_MS } from './timeouts.js'
import { connectionFailure, unavailableError } from './unavailable.js'

/** Error codes of Node.js for a broken connection. */
const BROKEN_CONNECTION_CODES = new Set<unknown>(['ECONNRESET', 'EPIPE', 'ETIMEDOUT'])

/** Settings of a connection. */
export interface SessionOptions {
  /** Timeout for opening the connection, in milliseconds. Default: {@link CONNECT_TIMEOUT_MS}. */
  connectTimeoutMs?: number
  /** Timeout for the response to a query, in milliseconds. Default: {@link QUERY_TIMEOUT_MS}. */
  queryTimeoutMs?: number
  /** Run-time parameters of the session, such as `search_path`. A pooler in transaction mode refuses them. */
  settings?: Record<string, string>
  /** Whether the server must prove with SCRAM that it knows the password. Default: false. */
  scramOnly?: boolean
}

/**
 * Opens a connection, calls `run` with it, and closes the connection. PostgreSQL rolls back an uncommitted transaction.
 *
 * @returns The result of `run`.
 * @throws `DATABASE_UNAVAILABLE` when the connection fails or breaks.
 * @throws `CONFIGURATION` when TLS fails, or when a file in the URL is not readable.
 */
export async function withClient<T>(
  url: string,
  run: (client: pg.Client) => Promise<T>,
  {
    connectTimeoutMs = CONNECT_TIMEOUT_MS,
    queryTimeoutMs = QUERY_TIMEOUT_MS,
    settings,
    scramOnly = false,
  }: SessionOptions = {},
): Promise<T> {
  const sockets = createSockets()
  const client = new pg.Client({
    stream: sockets.open,
    ...toDriverOptions(url, settings),
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: queryTimeoutMs,
  })
  // If the connection breaks, the query rejects, and the client emits `error`. Without a listener, the process would
  // end.
  client.on('error', () => {})
  if (scramOnly) requireScram(client)
  await client.connect().catch((error) => {
    throw connectionFailure(error)
  })
  try {
    return await run(client)
  } catch (error) {
    throw isConnectionFailure(error) ? unavailableError(error) : error
  } finally {
    sockets.destroyAfterGrace(connectTimeoutMs)
    await client.end()
  }
}

function isConnectionFailure(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return isUnavailableState(error.code)
  if (!(error instanceof Error) || Object.getPrototypeOf(error) !== Error.prototype) return false
  // Errors of the driver, such as a timeout, have no code.
  return !('code' in error) || BROKEN_CONNECTION_CODES.has(error.code)
}
