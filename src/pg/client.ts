import { Socket } from 'node:net'
import pg from 'pg'
import { CONNECT_TIMEOUT_MS, QUERY_TIMEOUT_MS } from './pool.js'
import { isUnavailableState } from './sql-state.js'
import { unavailable } from './unavailable.js'

/** What the system says of a connection that breaks. */
const BROKEN = new Set<unknown>(['ECONNRESET', 'EPIPE', 'ETIMEDOUT'])

/**
 * Runs something on one connection of its own. What is begun on it and not committed ends with it.
 * Throws `DATABASE_UNAVAILABLE` when there is no connecting, or the connection breaks.
 */
export async function withClient<T>(
  url: string,
  run: (client: pg.Client) => Promise<T>,
  queryTimeoutMs: number = QUERY_TIMEOUT_MS,
): Promise<T> {
  const socket = new Socket()
  const client = new pg.Client({
    stream: () => socket,
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: queryTimeoutMs,
  })
  // A connection that breaks also fails the query; unheard, this event would end the process.
  client.on('error', () => {})
  await client.connect().catch((error) => {
    throw unavailable(error)
  })
  try {
    return await run(client)
  } catch (error) {
    throw isLost(error) ? unavailable(error) : error
  } finally {
    // A server that has fallen silent does not take leave.
    const late = setTimeout(() => socket.destroy(), CONNECT_TIMEOUT_MS)
    await client.end()
    clearTimeout(late)
  }
}

function isLost(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return isUnavailableState(error.code)
  if (!(error instanceof Error) || Object.getPrototypeOf(error) !== Error.prototype) return false
  // The driver's own, such as its time-out, bear no code; those of the file system do.
  return !('code' in error) || BROKEN.has(error.code)
}
