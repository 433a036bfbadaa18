import { setTimeout as sleep } from 'node:timers/promises'
import {
  type BackendClasses,
  createPostgresBackend,
  type IQueueBackend,
  type PostgresPoolConfig,
  withBackend,
} from 'bullmq'
import type { Logger } from 'pino'
import { createRedisBackend, findRedis } from './redis.js'
import type { Runner } from './runner.js'
import type { SchedulerQueue } from './schedulers.js'

/** Where the queue is stored. `postgres` needs a session of its own: no transaction pooler. */
export type QueueConnection = { kind: 'redis' | 'postgres'; url: string }

/** What a queue and its worker are made of. */
export interface BackendOptions {
  connection: QueueConnection
  prefix: string
  runner: Runner
  /** Called for each failure of the store: over and over while it is away. */
  onError(error: unknown): void
  log: Logger
}

/** A queue, and the worker that takes its jobs. */
export interface Backend {
  queue: SchedulerQueue
  /** Takes no further job and closes the connections; `force` asks nothing of the store. */
  close(force: boolean): Promise<void>
}

interface Target<C> {
  name: string
  prefix?: string
  queue: C
  worker: C
}

/** How long a store may take to be ready, to answer, and to be closed. */
const TIMEOUT_MS = 5_000

const POSTGRES: PostgresPoolConfig = {
  connectionTimeoutMillis: TIMEOUT_MS,
  query_timeout: TIMEOUT_MS,
  keepAlive: true,
  // It would print to the console; `migrate` has made it.
  skipVersionCheck: true,
}

/** Throws when the store cannot be reached. */
export function openBackend(options: BackendOptions): Promise<Backend> {
  return options.connection.kind === 'redis' ? openRedis(options) : openPostgres(options)
}

async function openRedis(options: BackendOptions): Promise<Backend> {
  const server = await findRedis(options.connection.url)
  if (server.maxmemoryPolicy !== 'noeviction') {
    const { maxmemoryPolicy } = server
    options.log.warn({ maxmemoryPolicy }, 'redis may evict the schedule: it needs noeviction')
  }
  // The braces put all keys into one slot of a Redis Cluster.
  const prefix = `{last-logout:${options.prefix}}`
  const target = { name: 'jobs', prefix, queue: server, worker: server }
  return start(withBackend(createRedisBackend(prefix)), target, options, server.disconnect)
}

function openPostgres(options: BackendOptions): Promise<Backend> {
  const config = { ...POSTGRES, connectionString: options.connection.url }
  const target = {
    name: `last-logout-${options.prefix}`.replaceAll(':', '-'),
    queue: { ...config, max: 1 },
    worker: { ...config, max: 3 },
  }
  return start(withBackend(createPostgresBackend), target, options, () => undefined)
}

async function start<B extends IQueueBackend, C>(
  { Queue, Worker }: BackendClasses<B, C>,
  { name, queue: queueConnection, worker: workerConnection, ...rest }: Target<C>,
  { runner, onError }: BackendOptions,
  disconnect: () => void,
): Promise<Backend> {
  const queue = new Queue(name, {
    ...rest,
    connection: queueConnection,
    // Nobody reads the events.
    streams: { events: { maxLen: 100 } },
  })
  const worker = new Worker(name, (job) => runner.run(job.name), {
    ...rest,
    connection: workerConnection,
    // With one more than there are jobs, a job that is due while it runs is taken and done with.
    concurrency: runner.size + 1,
    runRetryDelay: 1_000,
  })
  queue.on('error', onError)
  worker.on('error', onError)
  async function closeBoth(force: boolean): Promise<void> {
    await worker.close(force)
    await queue.getBackend().close(force)
  }
  async function close(force: boolean): Promise<void> {
    const late = sleep(TIMEOUT_MS, undefined, { ref: false })
    await Promise.race([closeBoth(force).catch(onError), late])
    disconnect()
  }
  try {
    // BullMQ keeps the outcome of a first connection: on PostgreSQL one failure would be for ever.
    const ready = Promise.all([queue.waitUntilReady(), worker.waitUntilReady()])
    const late = sleep(TIMEOUT_MS, 'late', { ref: false })
    if ((await Promise.race([ready, late])) === 'late') throw new Error('the queue is not ready')
    return { queue, close }
  } catch (error) {
    await close(true)
    throw error
  }
}
