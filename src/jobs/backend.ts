import { setTimeout as sleep } from 'node:timers/promises'
import { type BackendClasses, createPostgresBackend, type IQueueBackend, withBackend } from 'bullmq'
import type { Logger } from 'pino'
import type { RedisServer } from './examine-redis.js'
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
  /** Called for each failure of Redis or PostgreSQL. An outage causes many calls. */
  onError(error: unknown): void
  /** Called for each failure of one node of a Redis Cluster. The other nodes can still be available. */
  onNodeError(error: unknown, node: string): void
  log: Logger
  /** Timeout of connecting, of each response, and of closing, in milliseconds. */
  timeoutMs: number
}

/** An open BullMQ queue with its worker. The worker takes jobs from the queue and runs them. */
export interface Backend {
  queue: SchedulerQueue
  /**
   * Rejects when PostgreSQL refuses a statement of the worker. The caller must then close the backend: BullMQ would
   * repeat the statement more than a hundred times a second.
   */
  refused: Promise<never>
  /** Rejects if the server does not accept writes, for example because Redis is full. */
  assertWritable(): Promise<void>
  /**
   * Stops taking jobs, waits for running jobs, and closes the connections.
   *
   * @param force Whether to close without waiting for running jobs. The queue then does not record their completion.
   */
  close(force: boolean): Promise<void>
}

/** Time to live of the key that `assertWritable` writes to Redis, in milliseconds. */
const PROBE_TTL_MS = 60_000

/**
 * Creates a function that opens the queue and its worker.
 *
 * @returns A function that rejects if the queue is unavailable. It also rejects with the errors of
 *   {@link assertQueueUsable} and {@link findRedis}.
 */
export function createOpener(options: BackendOptions): () => Promise<Backend> {
  const { connection } = options
  if (connection.kind === 'postgres') return () => openPostgres(options, connection.url)
  const { urls } = connection
  const keyPrefix = toKeyPrefix(options.prefix)
  /** The nodes of the Redis Cluster that the last call has found. */
  let knownNodes: RedisServer['nodes'] = null
  return async () => {
    const { timeoutMs } = options
    const server = await findRedis({ urls, knownNodes, keyPrefix, timeoutMs })
    knownNodes = server.nodes
    return openRedis(options, urls, server)
  }
}

async function openRedis(
  options: BackendOptions,
  urls: RedisUrls,
  server: RedisServer,
): Promise<Backend> {
  const { onNodeError, timeoutMs } = options
  const prefix = toKeyPrefix(options.prefix)
  const { maxmemoryPolicy = 'noeviction' } = server
  if (maxmemoryPolicy !== 'noeviction') {
    options.log.warn({ maxmemoryPolicy }, 'redis can evict the schedule')
  }
  const connector = createRedisConnector({ urls, server, timeoutMs, onNodeError })
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
    // last-logout does not read these events, so only a few are kept.
    streams: { events: { maxLen: 100 } },
  })
  const worker = new Worker(storage.name, (job) => runner.run(job.name), {
    ...storage.options,
    connection: storage.connection,
    // All jobs can run at the same time. The additional place is for a job that becomes due while it still runs: the
    // worker takes this job, and the runner skips it.
    concurrency: runner.size + 1,
    runRetryDelay: 1_000,
  })
  queue.on('error', onError)
  let rejectRefused = (_: unknown) => {}
  const refused = new Promise<never>((_, reject) => {
    rejectRefused = reject
  })
  // `refused` can reject before a caller awaits it. Node would then end the process.
  refused.catch(() => {})
  worker.on('error', (error) => {
    if (isQueueConflict(error)) return log.debug({ err: error }, 'job queue refused a step')
    onError(error)
    if (isRefusedStatement(error)) rejectRefused(error)
  })
  async function closeQueueAndWorker(force: boolean): Promise<void> {
    await worker.close(force)
    await queue.getBackend().close(force)
  }
  /** Unless `force` is true, waits for running jobs. Then waits for BullMQ and the storage, at most `timeoutMs` for each. */
  async function closeAll(force: boolean): Promise<void> {
    const closed = closeQueueAndWorker(force).catch(onError)
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
    const ready = Promise.all([queue.waitUntilReady(), worker.waitUntilReady()])
    const timeout = sleep(timeoutMs, 'timeout', { ref: false })
    if ((await Promise.race([ready, timeout, refused])) === 'timeout')
      throw new Error(`the queue was not ready within ${timeoutMs} ms`)
    const assertWritable = () => storage.assertWritable(queue.getBackend())
    return { queue, refused, assertWritable, close }
  } catch (error) {
    // On PostgreSQL, a BullMQ queue never retries its first connection. The next attempt needs a new queue and worker.
    await close(true)
    throw error
  }
}
