import { Socket } from 'node:net'
import pg from 'pg'
import { CONNECT_TIMEOUT_MS, QUERY_TIMEOUT_MS, unavailable } from './database.js'

/**
 * Runs something on one connection of its own. What is begun on it and not committed ends with it.
 * Throws `DATABASE_UNAVAILABLE` when there is no connecting.
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
  } finally {
    // A server that has fallen silent does not take leave.
    const late = setTimeout(() => socket.destroy(), CONNECT_TIMEOUT_MS)
    await client.end()
    clearTimeout(late)
  }
}
