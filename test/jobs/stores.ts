import { createPostgresBackend, Queue, withBackend } from 'bullmq'
import { Redis } from 'ioredis'
import pg from 'pg'
import type { QueueConnection } from '../../src/jobs/jobs.js'
import type { SchedulerQueue } from '../../src/jobs/schedulers.js'
import { createTestDatabase } from '../_support/database.js'
import { startRedis } from '../_support/redis.js'

/** SQLSTATE: deadlock_detected. */
const DEADLOCK = '40P01'

/** A queue without a worker. */
export type TestQueue = SchedulerQueue & Pick<Queue, 'add' | 'getJobCounts' | 'close'>

/** A server that can store the queue. */
export interface TestStore {
  name: string
  /** `true`: the server is not installed. Then `name` contains the reason, and only `stop` may be called. */
  skip: boolean
  connection: QueueConnection
  openQueue(prefix: string): TestQueue
  /** Deletes all data of a queue. */
  wipe(prefix: string): Promise<void>
  /** Deletes the pending runs of a queue, but not the schedulers. */
  losePendingRuns(prefix: string): Promise<void>
  stop(): Promise<void>
}

/** Starts one server of each kind. */
export function startStores(): Promise<TestStore[]> {
  return Promise.all([startRedisStore(), startPostgresStore()])
}

/** Starts Redis, if `redis-server` is installed. */
export async function startRedisStore(): Promise<TestStore> {
  const server = await startRedis()
  const skip = 'skip' in server
  const url = skip ? '' : server.url
  const redis = new Redis(url, { lazyConnect: true })
  return {
    name: skip ? `Redis (skipped: ${server.skip})` : 'Redis',
    skip,
    connection: { kind: 'redis', urls: [url] },
    openQueue: (prefix) => new Queue('jobs', { connection: { url }, prefix: redisPrefix(prefix) }),
    // FLUSHALL would also delete the queues of other tests.
    async wipe(prefix) {
      await redis.unlink(await redis.keys(`${redisPrefix(prefix)}:*`))
    },
    async losePendingRuns(prefix) {
      // BullMQ stores pending runs in the lists of runs, and in one key for each run of a scheduler.
      const keys = await redis.keys(`${redisPrefix(prefix)}:*`)
      await redis.unlink(keys.filter((key) => /:(wait|delayed|repeat:\w+:\d+)$/.test(key)))
    },
    async stop() {
      redis.disconnect()
      if (!skip) await server.stop()
    },
  }
}

/** Creates a database for queues. PostgreSQL is always installed. */
export async function startPostgresStore(): Promise<TestStore> {
  const { url, query, drop } = await createTestDatabase()
  const bullmq = withBackend(createPostgresBackend)
  const queueName = (prefix: string): string => `last-logout-${prefix}`
  /**
   * Deletes the rows of a queue from all these tables, in one statement. Retries after a deadlock, because a running
   * worker can lock the same rows in another order.
   */
  async function deleteRows(prefix: string, tables: string[]): Promise<void> {
    const deletions = tables.map((table) => `DELETE FROM bullmq.${table} WHERE queue = $1`)
    const statements = deletions.map((sql, index) => `deletion_${index} AS (${sql})`)
    try {
      await query(`WITH ${statements.join(', ')} SELECT`, [queueName(prefix)])
    } catch (error) {
      if (!(error instanceof pg.DatabaseError && error.code === DEADLOCK)) throw error
      await deleteRows(prefix, tables)
    }
  }
  return {
    name: 'PostgreSQL',
    skip: false,
    connection: { kind: 'postgres', url },
    openQueue: (prefix) =>
      new bullmq.Queue(queueName(prefix), { connection: { connectionString: url } }),
    wipe: (prefix) => deleteRows(prefix, ['job', 'scheduler', 'meta', 'event']),
    losePendingRuns: (prefix) => deleteRows(prefix, ['job']),
    stop: drop,
  }
}

/** Returns the prefix that `createJobs` gives to all keys of a queue. */
function redisPrefix(prefix: string): string {
  return `{last-logout:${prefix}}`
}
