import { createPostgresBackend, type PgPool, withBackend } from 'bullmq'
import { assertQueueUsable, createQueuePool } from './postgres.js'

/** Name, options and connection of a queue in its store. */
export interface Place<C, B> {
  name: string
  options: { prefix?: string }
  connection: C
  /** Rejects if the server does not accept writes. */
  assertWritable(backend: B): Promise<void>
  /** Closes connections that BullMQ leaves open. */
  disconnect(): Promise<void>
}

/** Limits and callbacks of a queue in PostgreSQL. */
interface PostgresPlaceOptions {
  prefix: string
  /** In milliseconds. */
  timeoutMs: number
  onError(error: unknown): void
}

/** Creates the connections of a queue in PostgreSQL. */
export function placeInPostgres(
  { prefix, timeoutMs, onError }: PostgresPlaceOptions,
  url: string,
): Place<PgPool, unknown> {
  const pool = createQueuePool(url, timeoutMs)
  pool.on('error', onError)
  return {
    name: `last-logout-${prefix}`.replaceAll(':', '-'),
    options: {},
    // The pool type of BullMQ declares the listeners of a client differently.
    connection: pool as PgPool,
    // A refused statement closes the queue, and the next attempt to open one checks for writes.
    assertWritable: async () => {},
    disconnect: () => pool.end(),
  }
}

/**
 * Opens the queue in PostgreSQL as a worker does, reads its schedule, and closes the queue. Takes no job.
 *
 * @throws What {@link assertQueueUsable} throws, and errors of BullMQ.
 */
export async function probePostgresQueue(url: string, prefix: string): Promise<void> {
  await assertQueueUsable(url)
  const { Queue } = withBackend(createPostgresBackend)
  const place = placeInPostgres({ prefix, timeoutMs: 5_000, onError: () => {} }, url)
  try {
    const queue = new Queue(place.name, { connection: place.connection })
    // Without a listener, `error` would end the process. The call below rejects with the same error.
    queue.on('error', () => {})
    await queue.getJobSchedulers()
    await queue.close()
  } finally {
    await place.disconnect()
  }
}
