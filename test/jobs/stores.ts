import { createPostgresBackend, Queue, withBackend } from 'bullmq'
import { Redis } from 'ioredis'
import pg from 'pg'
import type { QueueConnection } from '../../src/jobs/jobs.js'
import type { SchedulerQueue } from '../../src/jobs/schedulers.js'
import { createTestDatabase } from '../_support/database.js'
import { startRedis } from '../_support/redis.js'

/** SQLSTATE: deadlock_detected. */
const DEADLOCK = '40P01'

/** A queue as a test looks at it, from outside. */
export type TestQueue = SchedulerQueue & Pick<Queue, 'add' | 'getJobCounts' | 'close'>

/** A store that can hold the queue. */
export interface TestStore {
  name: string
  /** Whether there is none. The name then gives the reason, and no other member may be used. */
  skip: boolean
  connection: QueueConnection
  openQueue(prefix: string): TestQueue
  /** Forgets everything about a queue. */
  wipe(prefix: string): Promise<void>
  /** Forgets the runs of a queue's jobs that are pending, but not their schedulers. */
  lose(prefix: string): Promise<void>
  stop(): Promise<void>
}

/** One store of each kind. */
export function startStores(): Promise<TestStore[]> {
  return Promise.all([startRedisStore(), startPostgresStore()])
}

/** A store that is there where `redis-server` is. */
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
    // Not FLUSHALL: other tests may use the same server.
    async wipe(prefix) {
      await redis.unlink(await redis.keys(`${redisPrefix(prefix)}:*`))
    },
    async lose(prefix) {
      const keys = await redis.keys(`${redisPrefix(prefix)}:*`)
      await redis.unlink(keys.filter((key) => /:(wait|delayed|repeat:\w+:\d+)$/.test(key)))
    },
    async stop() {
      redis.disconnect()
      if (!skip) await server.stop()
    },
  }
}

/** A store of the kind that is always there. */
export async function startPostgresStore(): Promise<TestStore> {
  const { url, query, drop } = await createTestDatabase()
  const classes = withBackend(createPostgresBackend)
  const queueName = (prefix: string): string => `last-logout-${prefix}`
  // A worker that is running may hold the same locks in another order.
  async function forget(prefix: string, tables: string[]): Promise<void> {
    const deletions = tables.map((table) => `DELETE FROM bullmq.${table} WHERE queue = $1`)
    const parts = deletions.map((sql, n) => `part_${n} AS (${sql})`)
    try {
      await query(`WITH ${parts.join(', ')} SELECT`, [queueName(prefix)])
    } catch (error) {
      if (!(error instanceof pg.DatabaseError && error.code === DEADLOCK)) throw error
      await forget(prefix, tables)
    }
  }
  return {
    name: 'PostgreSQL',
    skip: false,
    connection: { kind: 'postgres', url },
    openQueue: (prefix) =>
      new classes.Queue(queueName(prefix), { connection: { connectionString: url } }),
    wipe: (prefix) => forget(prefix, ['job', 'scheduler', 'meta', 'event']),
    lose: (prefix) => forget(prefix, ['job']),
    stop: drop,
  }
}

/** What createJobs puts before all keys of a queue. */
function redisPrefix(prefix: string): string {
  return `{last-logout:${prefix}}`
}
