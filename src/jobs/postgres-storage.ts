import type { PgPool } from 'bullmq'
import { createQueuePool } from './postgres.js'

/** The name, the options and the connection with which BullMQ opens a queue. */
export interface QueueStorage<C, B> {
  name: string
  options: { prefix?: string }
  connection: C
  /** Rejects if the server does not accept writes. */
  assertWritable(backend: B): Promise<void>
  /** Closes connections that BullMQ leaves open. */
  disconnect(): Promise<void>
}

/** Options of {@link createPostgresStorage}. */
interface PostgresStorageOptions {
  prefix: string
  /** Timeout of connecting, of each response, and of closing, in milliseconds. */
  timeoutMs: number
  onError(error: unknown): void
}

/** Creates a connection pool for a queue in PostgreSQL, and the options that BullMQ needs. */
export function createPostgresStorage(
  { prefix, timeoutMs, onError }: PostgresStorageOptions,
  url: string,
): QueueStorage<PgPool, unknown> {
  const pool = createQueuePool(url, timeoutMs)
  pool.on('error', onError)
  return {
    name: `last-logout-${prefix}`.replaceAll(':', '-'),
    options: {},
    // BullMQ's type of a pool differs from the type of `pg` in the event listeners of a client.
    connection: pool as PgPool,
    // A refused write closes the queue, and `assertQueueUsable` checks for writes when the queue is opened again.
    assertWritable: async () => {},
    disconnect: () => pool.end(),
  }
}
