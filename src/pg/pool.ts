import pg from 'pg'
import { toDriverOptions } from './connection.js'
import { createSockets } from './sockets.js'
import { isUnavailableState } from './sql-state.js'
import { CONNECT_TIMEOUT_MS, MAX_LIFETIME_SECONDS, QUERY_TIMEOUT_MS } from './timeouts.js'

/** Timeouts of a pool. */
export interface PoolTimeouts {
  /** Timeout for getting a connection from the pool, in milliseconds. Default: {@link CONNECT_TIMEOUT_MS}. */
  connectTimeoutMs?: number
  /** Timeout for the response to a query, in milliseconds. Default: {@link QUERY_TIMEOUT_MS}. */
  queryTimeoutMs?: number
  /** Maximum age of a connection, in seconds. Default: {@link MAX_LIFETIME_SECONDS}. */
  maxLifetimeSeconds?: number
}

/** A connection pool. */
export interface Pool {
  pool: pg.Pool
  /** Destroys the sockets that are still open after a grace period. Call this function after `pool.end()`. */
  destroySockets(): void
}

/** Creates a connection pool. The pool opens its first connection when it runs its first query. */
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
    // The driver enforces this timeout, even if the server is unreachable. `statement_timeout` cannot be used: an
    // unreachable server does not enforce it, and a pooler in transaction mode refuses it.
    query_timeout: queryTimeoutMs,
    maxLifetimeSeconds,
    keepAlive: true,
    stream: sockets.open,
  })
  pool.on('connect', endAfterFailure)
  return { pool, destroySockets: () => sockets.destroyAfterGrace() }
}

/**
 * Ends a connection when a query on it fails, unless the server has only refused the query. The pool itself ends a
 * connection only after a failed `pool.query`. After a failed transaction, the pool reuses the connection, even if the
 * server is unresponsive or read-only.
 */
function endAfterFailure(client: pg.PoolClient): void {
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
