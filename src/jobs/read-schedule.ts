import { createPostgresBackend, withBackend } from 'bullmq'
import { withTimeout } from '../async/timeout.js'
import type { QueueConnection } from './backend.js'
import { findRedis } from './find-redis.js'
import { JOBS_DEFAULTS } from './jobs.js'
import { assertQueueUsable } from './postgres.js'
import { createPostgresStorage } from './postgres-storage.js'
import {
  createRedisBackendFactory,
  createRedisConnector,
  type RedisUrls,
  toKeyPrefix,
} from './redis.js'
import type { SchedulerQueue } from './schedulers.js'

/** Prevents BullMQ from writing the settings of the queue when it opens the queue. */
const READ_ONLY = { skipMetasUpdate: true }

/** A job in the schedule. */
export interface ScheduleEntry {
  name: string
  /** Interval of the job, in milliseconds. */
  everyMs: number | null
  /** When the job is due next, in milliseconds since the epoch, by the clock of the worker that scheduled the job. */
  nextAt: number | null
}

/**
 * Opens the queue with the settings of a worker, reads the schedule, and closes the queue. Runs no job.
 *
 * @throws `DATABASE_NOT_MIGRATED` and `CONFIGURATION` for the same reasons as `createJobs`.
 * @throws Errors of BullMQ, ioredis and PostgreSQL.
 */
export async function readSchedule(
  connection: QueueConnection,
  prefix: string,
): Promise<ScheduleEntry[]> {
  const schedulers =
    connection.kind === 'redis'
      ? await readFromRedis(connection.urls, prefix)
      : await readFromPostgres(connection.url, prefix)
  return schedulers.map(({ key, every, next }) => ({
    name: key,
    everyMs: every ?? null,
    nextAt: next ?? null,
  }))
}

type Schedulers = Awaited<ReturnType<SchedulerQueue['getJobSchedulers']>>

async function readFromPostgres(url: string, prefix: string): Promise<Schedulers> {
  const { timeoutMs } = JOBS_DEFAULTS
  await assertQueueUsable(url, timeoutMs)
  const { Queue } = withBackend(createPostgresBackend)
  const storage = createPostgresStorage({ prefix, timeoutMs, onError: () => {} }, url)
  try {
    return await readAndClose(
      new Queue(storage.name, { ...READ_ONLY, connection: storage.connection }),
    )
  } finally {
    await storage.disconnect()
  }
}

async function readFromRedis(urls: RedisUrls, name: string): Promise<Schedulers> {
  const { timeoutMs } = JOBS_DEFAULTS
  const prefix = toKeyPrefix(name)
  const server = await findRedis({ urls, keyPrefix: prefix, timeoutMs })
  const connector = createRedisConnector({ urls, server, timeoutMs, onNodeError: () => {} })
  try {
    const { Queue } = withBackend(createRedisBackendFactory(prefix, timeoutMs))
    return await readAndClose(new Queue('jobs', { ...READ_ONLY, prefix, connection: connector }))
  } finally {
    connector.disconnect()
  }
}

/** The part of a queue that {@link readAndClose} uses. */
interface ReadableQueue extends Pick<SchedulerQueue, 'getJobSchedulers'> {
  on(event: 'error', listener: () => void): unknown
  waitUntilReady(): Promise<unknown>
  close(): Promise<void>
}

async function readAndClose(queue: ReadableQueue): Promise<Schedulers> {
  const { timeoutMs } = JOBS_DEFAULTS
  // Without a listener, an `error` event ends the process. The calls below reject with the same error.
  queue.on('error', () => {})
  // If the server has become unavailable, `waitUntilReady` never settles.
  const isReady = await withTimeout(
    timeoutMs,
    queue.waitUntilReady().then(() => true),
    false,
  )
  if (!isReady) throw new Error(`the queue was not ready within ${timeoutMs} ms`)
  const schedulers = await queue.getJobSchedulers()
  await queue.close()
  return schedulers
}
