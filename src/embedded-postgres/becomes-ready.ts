import { setTimeout as delay } from 'node:timers/promises'
import { Client } from 'pg'
import type { Program } from '../child-program.js'
import { requireScram } from '../pg/require-scram.js'
import { DATABASE_NAME } from './cluster.js'
import { codeOf } from './errors.js'

/** SQLSTATE of a server that starts, recovers or stops. */
const CANNOT_CONNECT_NOW = '57P03'

/**
 * Waits until the server accepts connections, and creates the database if it is missing.
 *
 * @param url The URL of the server, without a database.
 * @param timeoutMs Maximum time without any response of the server, in milliseconds.
 * @returns `false` if the server has exited, rejects the password, or does not respond in time.
 */
export async function becomesReady(
  server: Pick<Program, 'isRunning'>,
  url: string,
  timeoutMs: number,
): Promise<boolean> {
  const startedAt = Date.now()
  let deadline = startedAt + timeoutMs
  while (server.isRunning() && Date.now() < deadline) {
    try {
      await ensureDatabase(url)
      return server.isRunning()
    } catch (error) {
      // Class 28: the server rejected the password, and a retry would have the same result. Any other error can come
      // from a server that is starting.
      if (String(codeOf(error)).startsWith('28')) return false
      // The server responds, but accepts no connection yet. A recovery after a crash can take minutes, and would begin
      // anew at the next start.
      if (codeOf(error) === CANNOT_CONNECT_NOW) deadline = Date.now() + timeoutMs
    }
    // The server logs each attempt, so the wait grows.
    await delay(Math.min(30 + (Date.now() - startedAt) / 10, 1_000))
  }
  return false
}

async function ensureDatabase(url: string): Promise<void> {
  const client = new Client({ connectionString: `${url}/postgres`, connectionTimeoutMillis: 5000 })
  // An `error` event without a listener would end the process. The calls below reject with the same error.
  client.on('error', () => undefined)
  // Another program can have taken the port before the server. It must not get the password.
  requireScram(client)
  try {
    await client.connect()
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [
      DATABASE_NAME,
    ])
    if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE_NAME}`)
  } finally {
    await client.end()
  }
}
