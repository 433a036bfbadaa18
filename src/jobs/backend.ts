import { setTimeout as sleep } from 'node:timers/promises'
import {
  type BackendClasses,
  createPostgresBackend,
  type IQueueBackend,
  type PgPool,
  withBackend,
} from 'bullmq'
import type { Logger } from 'pino'
import type { FoundRedis } from './examine-redis.js'
import { findRedis } from './find-redis.js'
import { assertQueueUsable, createQueuePool } from './postgres.js'
import {
  createRedisBackendFactory,
  createRedisConnector,
  type RedisUrls,
  toKeyPrefix,
} from './redis.js'
import { isRefused, isRejected } from './refused.js'
import type { Runner } from './runner.js'
import type { SchedulerQueue } from './schedulers.js'

/** Where the queue is stored. `postgres` needs a session of its own: no connection pooler. */
export type QueueConnection = { kind: 'redis'; urls: RedisUrls } | { kind: 'postgres'; url: string }

/** What a queue and its worker are made of. */
export interface BackendOptions {
  connection: QueueConnection
  prefix: string
  runner: Runner
  /** Called for each failure of the store, repeatedly while it is unavailable. */
  onError(error: unknown): void
  /** Called for each failure of a node of a Redis Cluster, of which others may respond. */
  onNodeError(error: unknown, node: string): void
  log: Logger
  /** Timeout of connecting, of each response and of closing, in milliseconds. */
  timeoutMs: number
}

/** A queue, and the worker that takes its jobs. */
export interface Backend {
  queue: SchedulerQueue
  /**
   * Rejects when the server rejects a statement of the worker. BullMQ repeats it without a delay, more than a hundred
   * times a second, until the backend is closed.
   */
  rejected: Promise<never>
  /**
   * Takes no further job, waits for running jobs, and closes the connections. `force`: does not wait, and the
   * queue does not record that they have run.
   */
  close(force: boolean): Promise<void>
}

/** Name and connection of a queue. */
interface Place<C> {
  name: string
  options: { prefix?: string }
  connection: C
  /** Closes connections that BullMQ leaves open. */
  disconnect(): Promise<void>
}

/**
 * Creates a function that opens the queue and its worker. It rejects when the queue is unavailable, with
 * `DATABASE_NOT_MIGRATED` and `CONFIGURATION` as {@link assertQueueUsable} and {@link findRedis}.
 */
export function createOpener(options: BackendOptions): () => Promise<Backend> {
  const { connection } = options
  if (connection.kind === 'postgres') return () => openPostgres(options, connection.url)
  const { urls } = connection
  const keyPrefix = toKeyPrefix(options.prefix)
  let known: FoundRedis['nodes'] = null
  return async () => {
    const found = await findRedis({ urls, known, keyPrefix, timeoutMs: options.timeoutMs })
    known = found.nodes
    return openRedis(options, urls, found)
  }
}

async function openRedis(
  options: BackendOptions,
  urls: RedisUrls,
  found: FoundRedis,
): Promise<Backend> {
  const { onNodeError, timeoutMs } = options
  const prefix = toKeyPrefix(options.prefix)
  const { maxmemoryPolicy = 'noeviction' } = found
  if (maxmemoryPolicy !== 'noeviction') {
    options.log.warn({ maxmemoryPolicy }, 'redis can evict the schedule')
  }
  const connector = createRedisConnector({ urls, found, timeoutMs, onNodeError })
  return start(withBackend(createRedisBackendFactory(prefix, timeoutMs)), options, {
    name: 'jobs',
    options: { prefix },
    connection: connector,
    disconnect: async () => connector.disconnect(),
  })
}

async function openPostgres(options: BackendOptions, url: string): Promise<Backend> {
  await assertQueueUsable(url, options.timeoutMs)
  return start(withBackend(createPostgresBackend), options, placeInPostgres(options, url))
}

function placeInPostgres(
  { prefix, timeoutMs, onError }: Pick<BackendOptions, 'prefix' | 'timeoutMs' | 'onError'>,
  url: string,
): Place<PgPool> {
  const pool = createQueuePool(url, timeoutMs)
  pool.on('error', onError)
  return {
    name: `last-logout-${prefix}`.replaceAll(':', '-'),
    options: {},
    // The pool type of BullMQ declares the listeners of a client differently.
    connection: pool as PgPool,
    disconnect: () => pool.end(),
  }
}

/**
 * Opens the queue in PostgreSQL as a worker does, reads its schedule, and closes it. Takes no job.
 *
 * @throws As {@link openBackend}.
 */
export async function probePostgresQueue(url: string, prefix: string): Promise<void> {
  await assertQueueUsable(url)
  const { Queue } = withBackend(createPostgresBackend)
  const place = placeInPostgres({ prefix, timeoutMs: 5_000, onError: () => {} }, url)
  try {
    const queue = new Queue(place.name, { connection: place.connection })
    // The call rejects as well.
    queue.on('error', () => {})
    await queue.getJobSchedulers()
    await queue.close()
  } finally {
    await place.disconnect()
  }
}

async function start<B extends IQueueBackend, C>(
  { Queue, Worker }: BackendClasses<B, C>,
  { runner, onError, log, timeoutMs }: BackendOptions,
  place: Place<C>,
): Promise<Backend> {
  const queue = new Queue(place.name, {
    ...place.options,
    connection: place.connection,
    // The events are not read.
    streams: { events: { maxLen: 100 } },
  })
  const worker = new Worker(place.name, (job) => runner.run(job.name), {
    ...place.options,
    connection: place.connection,
    // One more than there are jobs: a job that becomes due while it runs is taken and skipped.
    concurrency: runner.size + 1,
    runRetryDelay: 1_000,
  })
  queue.on('error', onError)
  let reject = (_: unknown) => {}
  const rejected = new Promise<never>((_, rejectWith) => {
    reject = rejectWith
  })
  // It can reject before anyone waits for it.
  rejected.catch(() => {})
  worker.on('error', (error) => {
    if (isRefused(error)) return log.debug({ err: error }, 'job queue refused a step')
    onError(error)
    if (isRejected(error)) reject(error)
  })
  async function closeBoth(force: boolean): Promise<void> {
    await worker.close(force)
    await queue.getBackend().close(force)
  }
  async function closeAll(force: boolean): Promise<void> {
    const closed = closeBoth(force).catch(onError)
    if (!force) await runner.idle()
    await Promise.race([closed, sleep(timeoutMs, undefined, { ref: false })])
    await Promise.race([place.disconnect(), sleep(timeoutMs, undefined, { ref: false })])
  }
  let closing: Promise<void> | undefined
  function close(force: boolean): Promise<void> {
    closing ??= closeAll(force)
    return closing
  }
  try {
    // BullMQ keeps the result of the first connection: on PostgreSQL one failure would be permanent.
    const ready = Promise.all([queue.waitUntilReady(), worker.waitUntilReady()])
    const late = sleep(timeoutMs, 'late', { ref: false })
    if ((await Promise.race([ready, late, rejected])) === 'late')
      throw new Error(`the queue was not ready within ${timeoutMs} ms`)
    return { queue, rejected, close }
  } catch (error) {
    await close(true)
    throw error
  }
}
