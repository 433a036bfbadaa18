import { Socket } from 'node:net'
import pg from 'pg'
import { isUnavailableState } from './sql-state.js'

/** How long a query may wait for a connection, in milliseconds. */
export const CONNECT_TIMEOUT_MS = 5_000
/** How long a query may then wait for its answer, in milliseconds. */
export const QUERY_TIMEOUT_MS = 15_000

/**
 * How long a connection is used, in seconds. One to a server that was demoted, or cut off from the
 * others, may live on; what the address stands for by now is found by connecting anew.
 */
const LIFETIME_SECONDS = 60

/** How long the server may take to take leave, in milliseconds. */
const CLOSING_PATIENCE_MS = 2_000

/** How long the pool waits, and keeps what it has. */
export interface PoolTimeouts {
  /** Default: {@link CONNECT_TIMEOUT_MS}. */
  connectMs?: number
  /** Default: {@link QUERY_TIMEOUT_MS}. */
  queryMs?: number
  /** Default: {@link LIFETIME_SECONDS}. */
  lifetimeSeconds?: number
}

/** A pool of connections. */
export interface Pool {
  pool: pg.Pool
  /** To be called when the pool has ended: a server that has fallen silent does not take leave. */
  leave(): void
}

/** A pool of connections; none is made before the first query. */
export function createPool(
  url: string,
  {
    connectMs = CONNECT_TIMEOUT_MS,
    queryMs = QUERY_TIMEOUT_MS,
    lifetimeSeconds = LIFETIME_SECONDS,
  }: PoolTimeouts,
): Pool {
  const sockets = new Set<Socket>()
  const openSocket = () => {
    const socket = new Socket()
    sockets.add(socket)
    return socket.once('close', () => sockets.delete(socket))
  }
  const pool = new pg.Pool({
    connectionString: url,
    connectionTimeoutMillis: connectMs,
    // By the client: a server that is gone cannot, and a transaction pooler takes no settings.
    query_timeout: queryMs,
    maxLifetimeSeconds: lifetimeSeconds,
    keepAlive: true,
    stream: openSocket,
  })
  pool.on('connect', endWhenUnusable)
  const leave = () => {
    const cut = () => {
      for (const socket of sockets) socket.destroy()
    }
    setTimeout(cut, CLOSING_PATIENCE_MS).unref()
  }
  return { pool, leave }
}

/**
 * The pool itself drops a connection on which a query of its own has failed, but takes one back from
 * a transaction whatever has happened on it: silent, or to a server that has become read-only.
 */
function endWhenUnusable(client: pg.PoolClient): void {
  const query = client.query.bind(client) as (...args: unknown[]) => unknown
  client.query = ((...args: unknown[]) => {
    const answer = query(...args)
    if (answer instanceof Promise) {
      answer.catch((error) => {
        const isRefusal = error instanceof pg.DatabaseError && !isUnavailableState(error.code)
        if (!isRefusal) client.end()
      })
    }
    return answer
  }) as typeof client.query
}
