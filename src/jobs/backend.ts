import { setTimeout as sleep } from 'node:timers/promises'
import {
  type BackendClasses,
  createPostgresBackend,
  type IQueueBackend,
  type PgPool,
  withBackend,
} from 'bullmq'
import type { Logger } from 'pino'
import { createQueuePool } from './postgres.js'
import { createRedisBackendFactory, findRedis } from './redis.js'
import { isRefused } from './refused.js'
import type { Runner } from './runner.js'
import type { SchedulerQueue } from './schedulers.js'

/** Where the queue is stored. `postgres` needs a session of its own: no transaction pooler. */
export type QueueConnection = { kind: 'redis' | 'postgres'; url: string }

/** What a queue and its worker are made of. */
export interface BackendOptions {
  connection: QueueConnection
  prefix: string
  runner: Runner
  /** Called for each failure of the store, repeatedly while it is unavailable. */
  onError(error: unknown): void
  log: Logger
  /** Timeout of connecting, of each response and of closing, in milliseconds. */
  timeoutMs: number
}

/** A queue, and the worker that takes its jobs. */
export interface Backend {
  queue: SchedulerQueue
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

/** Opens the queue and its worker. Rejects when the queue is unavailable. */
export function openBackend(options: BackendOptions): Promise<Backend> {
  return options.connection.kind === 'redis' ? openRedis(options) : openPostgres(options)
}

async function openRedis(options: BackendOptions): Promise<Backend> {
  const { connection, timeoutMs } = options
  const server = await findRedis(connection.url, timeoutMs)
  const { maxmemoryPolicy = 'noeviction' } = server
  if (maxmemoryPolicy !== 'noeviction') {
    options.log.warn({ maxmemoryPolicy }, 'redis can evict the schedule')
  }
  // The braces keep all keys in one slot of a Redis Cluster.
  const prefix = `{last-logout:${options.prefix}}`
  return start(withBackend(createRedisBackendFactory(prefix, timeoutMs)), options, {
    name: 'jobs',
    options: { prefix },
    connection: server,
    disconnect: async () => server.disconnect(),
  })
}

function openPostgres(options: BackendOptions): Promise<Backend> {
  const pool = createQueuePool(options.connection.url, options.timeoutMs)
  pool.on('error', options.onError)
  return start(withBackend(createPostgresBackend), options, {
    name: `last-logout-${options.prefix}`.replaceAll(':', '-'),
    options: {},
    // The pool type of BullMQ declares the listeners of a client differently.
    connection: pool as PgPool,
    disconnect: () => pool.end(),
  })
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
  worker.on('error', (error) => {
    if (isRefused(error)) log.debug({ err: error }, 'job queue refused a step')
    else onError(error)
  })
  async function closeBoth(force: boolean): Promise<void> {
    await worker.close(force)
    await queue.getBackend().close(force)
  }
  async function close(force: boolean): Promise<void> {
    const closed = closeBoth(force).catch(onError)
    if (!force) await runner.idle()
    await Promise.race([closed, sleep(timeoutMs, undefined, { ref: false })])
    await Promise.race([place.disconnect(), sleep(timeoutMs, undefined, { ref: false })])
  }
  try {
    // BullMQ keeps the result of the first connection: on PostgreSQL one failure would be permanent.
    const ready = Promise.all([queue.waitUntilReady(), worker.waitUntilReady()])
    const late = sleep(timeoutMs, 'late', { ref: false })
    if ((await Promise.race([ready, late])) === 'late')
      throw new Error(`the queue was not ready within ${timeoutMs} ms`)
    return { queue, close }
  } catch (error) {
    await close(true)
    throw error
  }
}
