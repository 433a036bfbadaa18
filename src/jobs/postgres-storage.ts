import type { PgPool } from 'bullmq'
import { createQueuePool } from './postgres.js'

/** Where a queue is stored: its name, options and connection. */
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
  /** Timeout of connecting, of each response and of closing, in milliseconds. */
  timeoutMs: number
  onError(error: unknown): void
}

/** Creates the storage of a queue in PostgreSQL, with its connection pool. */
export function createPostgresStorage(
  { prefix, timeoutMs, onError }: PostgresStorageOptions,
  url: string,
): QueueStorage<PgPool, unknown> {
  const pool = createQueuePool(url, timeoutMs)
  pool.on('error', onError)
  return {
    name: `last-logout-${prefix}`.replaceAll(':', '-'),
    options: {},
    // The pool type of BullMQ declares the listeners of a client differently.
    connection: pool as PgPool,
    // No check is needed: a refused statement closes the queue, and the next opening checks whether writes are accepted.
    assertWritable: async () => {},
    disconnect: () => pool.end(),
  }
}
