import { Redis } from 'ioredis'
import { describe, type TestContext, test } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { expectedFromLog, sortRows } from '../_support/expected-rows.js'
import { startRedis, type TestRedis } from '../_support/redis.js'
import { type RunningService, runService } from '../_support/running-service.js'
import { readRows } from '../_support/store.js'
import { WAIT } from '../_support/wait.js'

const UNAVAILABLE = /^job queue unavailable$/
const RECOVERED = /^job queue restored$/

/** The number of requests to the API during a fault. */
const REQUEST_COUNT = 300

/** Maximum response time of the API. It is shorter than the timeouts of the queue for Redis. */
const MAX_RESPONSE_MS = 3_000

/** The password of {@link send}. The service has none. While Redis requires no password, it accepts every password. */
const PASSWORD = 'redis-password'

// Checks whether this machine has a redis-server. If not, `skip` contains the reason.
const redisProbe = await startRedis({ forceNew: true })
const title = 'skip' in redisProbe ? `the service (skipped: ${redisProbe.skip})` : 'the service'
if (!('skip' in redisProbe)) await redisProbe.stop()

/** A fault of Redis, with its beginning and its end. */
interface Fault {
  begin(redis: TestRedis): Promise<unknown>
  end(redis: TestRedis): Promise<unknown>
}

const FAULTS: Record<string, Fault> = {
  'is unavailable and starts again without data': {
    begin: (redis) => redis.stop(),
    end: (redis) => redis.start(),
  },
  'is frozen': {
    begin: async (redis) => redis.freeze(),
    end: async (redis) => redis.thaw(),
  },
  'is demoted to a replica': {
    // No primary listens on port 1.
    begin: (redis) => send(redis, 'REPLICAOF', '127.0.0.1', '1'),
    end: (redis) => send(redis, 'REPLICAOF', 'NO', 'ONE'),
  },
  'is full and evicts nothing': {
    // The limit is one byte. 0 means no limit.
    begin: (redis) => send(redis, 'CONFIG', 'SET', 'maxmemory', '1'),
    end: (redis) => send(redis, 'CONFIG', 'SET', 'maxmemory', '0'),
  },
  'requires a password that the service does not have': {
    async begin(redis) {
      await send(redis, 'CONFIG', 'SET', 'requirepass', PASSWORD)
      await send(redis, 'CLIENT', 'KILL', 'TYPE', 'normal')
    },
    end: (redis) => send(redis, 'CONFIG', 'SET', 'requirepass', ''),
  },
  'forbids writes': {
    begin: (redis) => send(redis, 'ACL', 'SETUSER', 'default', '-@write', '-@scripting'),
    end: (redis) => send(redis, 'ACL', 'SETUSER', 'default', '+@all'),
  },
}

/** A service whose queue is in Redis. */
interface TestSystem {
  redis: TestRedis
  database: TestDatabase
  service: RunningService
  /** Writes a logout of a new user to the tenant. Returns the user id. */
  logOut(): string
  /** Returns the rows that the database must contain after all logouts. */
  listExpectedRows(): ReturnType<typeof expectedFromLog>['rows']
}

/**
 * Runs a service until the end of the test.
 *
 * @param args Arguments of redis-server.
 * @param isRedisStopped Whether Redis is stopped before the service starts.
 */
async function openSystem(
  { onTestFinished }: Pick<TestContext, 'onTestFinished'>,
  { args = [], isRedisStopped = false }: { args?: string[]; isRedisStopped?: boolean } = {},
): Promise<TestSystem> {
  const redis = await startRedis({ forceNew: true, args })
  if ('skip' in redis) throw new Error(redis.skip)
  onTestFinished(() => redis.stop())
  if (isRedisStopped) await redis.stop()
  const database = await createTestDatabase()
  onTestFinished(() => database.drop())
  const service = await runService({ DATABASE_URL: database.url, REDIS_URL: redis.url })
  onTestFinished(() => service.close())
  const entries: Record<string, unknown>[] = []
  return {
    redis,
    database,
    service,
    logOut() {
      const user = `auth0|${entries.length}`
      entries.push(service.logout(user))
      return user
    },
    listExpectedRows: () => sortRows(expectedFromLog(entries).rows),
  }
}

/** Sends requests one after the other. Returns the different statuses, and the response times in milliseconds. */
async function measureResponses(service: RunningService, requestCount = REQUEST_COUNT) {
  const timesMs: number[] = []
  const statuses = new Set<number>()
  for (let n = 0; n < requestCount; n++) {
    const { status, ms } = await service.requestUser()
    statuses.add(status)
    timesMs.push(ms)
  }
  timesMs.sort((a, b) => a - b)
  /** Returns a quantile, rounded to a tenth of a millisecond. */
  const quantile = (fraction: number) =>
    Math.round((timesMs[Math.floor(requestCount * fraction)] ?? 0) * 10) / 10
  const maxMs = timesMs.at(-1) ?? Number.POSITIVE_INFINITY
  return { statuses: [...statuses], medianMs: quantile(0.5), p99Ms: quantile(0.99), maxMs }
}

describe.skipIf('skip' in redisProbe)(title, { concurrent: true }, () => {
  test.for(Object.entries(FAULTS))(
    'the service serves requests while Redis %s, loses no logout, and resumes polling (pitfalls 15, 16, 17)',
    { timeout: 90_000 },
    async ([, fault], context) => {
      const { annotate, expect } = context
      const { redis, database, service, logOut, listExpectedRows } = await openSystem(context)
      await service.waitForLogout(logOut())
      const before = await measureResponses(service, 50)
      expect(before.statuses).toEqual([200])
      // On a busy machine, the service can log an outage at its start, because Redis responds slowly. This line and the
      // line about its end must not count as those of the fault.
      const countWarnings = () => service.countLines('warn', UNAVAILABLE)
      const countRecoveries = () => service.countLines('info', RECOVERED)
      await expect.poll(() => countWarnings() === 0 || countRecoveries() > 0, WAIT).toBe(true)
      const earlierRecoveries = countRecoveries()
      const earlierWarnings = countWarnings()

      await fault.begin(redis)
      const during = await measureResponses(service)
      expect(during.statuses).toEqual([200])
      expect(during.maxMs).toBeLessThan(MAX_RESPONSE_MS)
      await annotate(
        `median ${during.medianMs} ms, p99 ${during.p99Ms} ms of ${REQUEST_COUNT} responses`,
      )
      await annotate(`before the fault: median ${before.medianMs} ms, p99 ${before.p99Ms} ms`)
      await expect.poll(countWarnings, WAIT).toBeGreaterThan(earlierWarnings)

      const userDuringFault = logOut()
      await fault.end(redis)
      await annotate(
        `logout returned ${await service.waitForLogout(userDuringFault)} ms after the end of the fault`,
      )
      await expect.poll(countRecoveries, WAIT).toBe(earlierRecoveries + 1)
      // A fault causes at most two warnings: one for a lost connection or a timeout, and one for an error reply.
      expect(countWarnings()).toBeLessThanOrEqual(earlierWarnings + 2)
      expect(await readRows(database)).toEqual(listExpectedRows())
    },
  )

  test('the service serves requests if Redis is unavailable at the start, and polls when Redis is available (pitfall 17)', async (context) => {
    const { annotate, expect } = context
    const { redis, service, logOut } = await openSystem(context, { isRedisStopped: true })
    expect((await service.requestUser()).status).toBe(200)
    const user = logOut()
    await expect.poll(() => service.countLines('warn', UNAVAILABLE), WAIT).toBe(1)
    await redis.start()
    await annotate(
      `logout returned ${await service.waitForLogout(user)} ms after Redis is available`,
    )
    await expect.poll(() => service.countLines('info', RECOVERED), WAIT).toBe(1)
  })

  test('the service warns if Redis can evict the schedule, and restores the schedule after an eviction (pitfalls 15, 16)', async (context) => {
    const { annotate, expect } = context
    // With this policy, Redis deletes the least recently used keys when its memory is full.
    const args = ['--maxmemory', '4mb', '--maxmemory-policy', 'allkeys-lru']
    const { redis, database, service, logOut, listExpectedRows } = await openSystem(context, {
      args,
    })
    await service.waitForLogout(logOut())
    expect(service.countLines('warn', /^redis can evict the schedule$/)).toBe(1)
    await fillUntilEvicted(redis)
    const user = logOut()
    await annotate(
      `logout returned ${await service.waitForLogout(user)} ms after the schedule was evicted`,
    )
    expect(await readRows(database)).toEqual(listExpectedRows())
  })
})

/** Sends a command to Redis over a new connection. */
async function send(redis: TestRedis, ...[command = '', ...args]: string[]): Promise<unknown> {
  const client = new Redis(redis.url, { retryStrategy: () => null, password: PASSWORD })
  client.on('error', () => {})
  try {
    return await client.call(command, ...args)
  } finally {
    client.disconnect()
  }
}

/** Writes other keys until Redis has evicted every key of the schedule. */
async function fillUntilEvicted(redis: TestRedis): Promise<void> {
  const client = new Redis(redis.url)
  try {
    for (let n = 0; (await client.keys('{last-logout:*')).length > 0; n++) {
      await client.set(`filler:${n}`, 'x'.repeat(100_000))
    }
  } finally {
    client.disconnect()
  }
}
