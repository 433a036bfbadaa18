import { setTimeout as sleep } from 'node:timers/promises'
import { type BackendClasses, createPostgresBackend, type IQueueBackend, withBackend } from 'bullmq'
import type { Logger } from 'pino'
import type { FoundRedis } from './examine-redis.js'
import { findRedis } from './find-redis.js'
import { assertQueueUsable } from './postgres.js'
import { createPostgresStorage, type QueueStorage } from './postgres-storage.js'
import { isQueueConflict, isRefusedStatement } from './queue-errors.js'
import {
  createRedisBackendFactory,
  createRedisConnector,
  type RedisUrls,
  toKeyPrefix,
} from './redis.js'
import type { Runner } from './runner.js'
import type { SchedulerQueue } from './schedulers.js'

/** Where the queue is stored. For `postgres`, the URL must lead to the server itself, not to a connection pooler. */
export type QueueConnection = { kind: 'redis'; urls: RedisUrls } | { kind: 'postgres'; url: string }

/** Options of a queue and its worker. */
export interface BackendOptions {
  connection: QueueConnection
  prefix: string
  runner: Runner
  /** Called for each failure of the store, repeatedly while it is unavailable. */
  onError(error: unknown): void
  /** Called for each failure of a node of a Redis Cluster. Other nodes may still respond. */
  onNodeError(error: unknown, node: string): void
  log: Logger
  /** Timeout of connecting, of each response and of closing, in milliseconds. */
  timeoutMs: number
}

/** A queue, and the worker that takes its jobs. */
export interface Backend {
  queue: SchedulerQueue
  /**
   * Rejects when the server refuses a statement of the worker. Close the backend then, because BullMQ repeats the
   * statement without a delay, more than a hundred times a second.
   */
  refused: Promise<never>
  /** Rejects if the server does not accept writes, for example because Redis is full. */
  assertWritable(): Promise<void>
  /**
   * Stops taking jobs, waits for running jobs, and closes the connections.
   *
   * @param force If true, does not wait for running jobs. The queue then does not record that these jobs have run.
   */
  close(force: boolean): Promise<void>
}

/** Lifetime of the key that is written to test whether Redis accepts writes. */
const PROBE_TTL_MS = 60_000

/**
 * Creates a function that opens the queue and its worker. The function rejects if the queue is unavailable, and with
 * the errors `DATABASE_NOT_MIGRATED` and `CONFIGURATION` of {@link assertQueueUsable} and {@link findRedis}.
 */
export function createOpener(options: BackendOptions): () => Promise<Backend> {
  const { connection } = options
  if (connection.kind === 'postgres') return () => openPostgres(options, connection.url)
  const { urls } = connection
  const keyPrefix = toKeyPrefix(options.prefix)
  let knownNodes: FoundRedis['nodes'] = null
  return async () => {
    const { timeoutMs } = options
    const found = await findRedis({ urls, knownNodes, keyPrefix, timeoutMs })
    knownNodes = found.nodes
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
    async assertWritable(backend) {
      await (await backend.client).set(`${prefix}:writable`, '', { PX: PROBE_TTL_MS })
    },
    disconnect: async () => connector.disconnect(),
  })
}

async function openPostgres(options: BackendOptions, url: string): Promise<Backend> {
  await assertQueueUsable(url, options.timeoutMs)
  return start(withBackend(createPostgresBackend), options, createPostgresStorage(options, url))
}

async function start<B extends IQueueBackend, C>(
  { Queue, Worker }: BackendClasses<B, C>,
  { runner, onError, log, timeoutMs }: BackendOptions,
  storage: QueueStorage<C, B>,
): Promise<Backend> {
  const queue = new Queue(storage.name, {
    ...storage.options,
    connection: storage.connection,
    // last-logout does not read the events of the queue, so only a few are kept.
    streams: { events: { maxLen: 100 } },
  })
  const worker = new Worker(storage.name, (job) => runner.run(job.name), {
    ...storage.options,
    connection: storage.connection,
    // One more than the number of jobs: if a job becomes due while it still runs, the worker must take it to skip it.
    concurrency: runner.size + 1,
    runRetryDelay: 1_000,
  })
  queue.on('error', onError)
  let reject = (_: unknown) => {}
  const refused = new Promise<never>((_, rejectWith) => {
    reject = rejectWith
  })
  // This promise can reject before any caller awaits it.
  refused.catch(() => {})
  worker.on('error', (error) => {
    if (isQueueConflict(error)) return log.debug({ err: error }, 'job queue refused a step')
    onError(error)
    if (isRefusedStatement(error)) reject(error)
  })
  async function closeBoth(force: boolean): Promise<void> {
    await worker.close(force)
    await queue.getBackend().close(force)
  }
  async function closeAll(force: boolean): Promise<void> {
    const closed = closeBoth(force).catch(onError)
    if (!force) await runner.idle()
    await Promise.race([closed, sleep(timeoutMs, undefined, { ref: false })])
    await Promise.race([storage.disconnect(), sleep(timeoutMs, undefined, { ref: false })])
  }
  let closing: Promise<void> | undefined
  function close(force: boolean): Promise<void> {
    closing ??= closeAll(force)
    return closing
  }
  try {
    // On PostgreSQL, BullMQ keeps the result of the first connection attempt: one failure would be permanent. The
    // next attempt therefore needs a new queue and worker.
    const ready = Promise.all([queue.waitUntilReady(), worker.waitUntilReady()])
    const late = sleep(timeoutMs, 'late', { ref: false })
    if ((await Promise.race([ready, late, refused])) === 'late')
      throw new Error(`the queue was not ready within ${timeoutMs} ms`)
    const assertWritable = () => storage.assertWritable(queue.getBackend())
    return { queue, refused, assertWritable, close }
  } catch (error) {
    await close(true)
    throw error
  }
}
