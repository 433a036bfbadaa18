import pg from 'pg'
import { toDriverOptions } from './connection.js'
import { createSockets } from './sockets.js'
import { isUnavailableState } from './sql-state.js'
import { CONNECT_TIMEOUT_MS, QUERY_TIMEOUT_MS } from './timeouts.js'
import { connectionFailure, unavailable } from './unavailable.js'

/** System error codes of a broken connection. */
const BROKEN_CONNECTION_CODES = new Set<unknown>(['ECONNRESET', 'EPIPE', 'ETIMEDOUT'])

/**
 * Runs `run` on a connection of its own, then closes the connection. An uncommitted transaction is rolled
 * back.
 *
 * @param timeouts In milliseconds. Defaults: {@link CONNECT_TIMEOUT_MS}, {@link QUERY_TIMEOUT_MS}.
 * @returns The result of `run`.
 * @throws `DATABASE_UNAVAILABLE` when the connection fails or breaks.
 * @throws `CONFIGURATION` when TLS fails, or a file that the URL names cannot be read.
 */
export async function withClient<T>(
  url: string,
  run: (client: pg.Client) => Promise<T>,
  {
    connectTimeoutMs = CONNECT_TIMEOUT_MS,
    queryTimeoutMs = QUERY_TIMEOUT_MS,
  }: { connectTimeoutMs?: number; queryTimeoutMs?: number } = {},
): Promise<T> {
  const sockets = createSockets()
  const client = new pg.Client({
    stream: sockets.open,
    ...toDriverOptions(url),
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: queryTimeoutMs,
  })
  // A broken connection also rejects the query. Without a listener this event would end the process.
  client.on('error', () => {})
  await client.connect().catch((error) => {
    throw connectionFailure(error)
  })
  try {
    return await run(client)
  } catch (error) {
    throw isConnectionFailure(error) ? unavailable(error) : error
  } finally {
    sockets.destroyAfterGrace(connectTimeoutMs)
    await client.end()
  }
}

function isConnectionFailure(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return isUnavailableState(error.code)
  if (!(error instanceof Error) || Object.getPrototypeOf(error) !== Error.prototype) return false
  // Errors of the driver, such as a timeout, have no code. Errors of the file system have one.
  return !('code' in error) || BROKEN_CONNECTION_CODES.has(error.code)
}
