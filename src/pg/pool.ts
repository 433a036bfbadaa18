import pg from 'pg'
import { toDriverOptions } from './connection.js'
import { createSockets } from './sockets.js'
import { isUnavailableState } from './sql-state.js'
import { CONNECT_TIMEOUT_MS, MAX_LIFETIME_SECONDS, QUERY_TIMEOUT_MS } from './timeouts.js'

/** Timeouts of a pool. */
export interface PoolTimeouts {
  /** Upper bound of the wait for a connection, in milliseconds. Default: {@link CONNECT_TIMEOUT_MS}. */
  connectTimeoutMs?: number
  /** Upper bound of the wait for a response, in milliseconds. Default: {@link QUERY_TIMEOUT_MS}. */
  queryTimeoutMs?: number
  /** Maximum age of a connection, in seconds. Default: {@link MAX_LIFETIME_SECONDS}. */
  maxLifetimeSeconds?: number
}

/** A connection pool. */
export interface Pool {
  pool: pg.Pool
  /** Destroys the sockets that are still open after the grace period for closing. Call this after the pool has ended. */
  destroySockets(): void
}

/** Creates a connection pool. The pool opens its first connection at the first query. */
export function createPool(
  url: string,
  {
    connectTimeoutMs = CONNECT_TIMEOUT_MS,
    queryTimeoutMs = QUERY_TIMEOUT_MS,
    maxLifetimeSeconds = MAX_LIFETIME_SECONDS,
  }: PoolTimeouts,
): Pool {
  const sockets = createSockets()
  const pool = new pg.Pool({
    ...toDriverOptions(url),
    connectionTimeoutMillis: connectTimeoutMs,
    // The driver enforces this timeout. The server cannot do so while it is unreachable, and a transaction pooler
    // refuses the setting `statement_timeout`.
    query_timeout: queryTimeoutMs,
    maxLifetimeSeconds,
    keepAlive: true,
    stream: sockets.open,
  })
  pool.on('connect', endWhenUnusable)
  return { pool, destroySockets: () => sockets.destroyAfterGrace() }
}

/**
 * Ends a connection when a query on it fails, except if the server only refused the query. The pool itself ends the
 * connection of a failed `pool.query`. But it reuses the connection of a failed transaction, even if the server is
 * unresponsive or has become read-only.
 */
function endWhenUnusable(client: pg.PoolClient): void {
  const query = client.query.bind(client) as (...args: unknown[]) => unknown
  client.query = ((...args: unknown[]) => {
    const result = query(...args)
    if (result instanceof Promise) {
      result.catch((error) => {
        const isRefusal = error instanceof pg.DatabaseError && !isUnavailableState(error.code)
        if (!isRefusal) client.end()
      })
    }
    return result
  }) as typeof client.query
}
