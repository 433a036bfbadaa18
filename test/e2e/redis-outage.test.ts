import { Redis } from 'ioredis'
import { describe, type TestContext, test } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { expectedFromLog, sortRows } from '../_support/expected-rows.js'
import { startRedis, type TestRedis } from '../_support/redis.js'
import { type RunningService, runService } from '../_support/running-service.js'
import { readRows } from '../_support/store.js'
import { WAIT } from '../_support/wait.js'

const FAILING = /^job queue unavailable$/
const RECOVERED = /^job queue restored$/

/** The number of requests to the API during a fault. */
const REQUESTS = 300

/**
 * Maximum time of a response, in milliseconds. The queue waits longer for Redis, so requests must not wait for the
 * queue.
 */
const MAX_RESPONSE_MS = 3_000

/** The password of the connections of the tests. While Redis requires no password, it accepts every password. */
const PASSWORD = 'another'

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
    begin: (redis) => send(redis, 'REPLICAOF', '127.0.0.1', '1'),
    end: (redis) => send(redis, 'REPLICAOF', 'NO', 'ONE'),
  },
  'is full and evicts nothing': {
    begin: (redis) => send(redis, 'CONFIG', 'SET', 'maxmemory', '1'),
    end: (redis) => send(redis, 'CONFIG', 'SET', 'maxmemory', '0'),
  },
  'requires another password': {
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
  /** The expected rows. */
  readExpectedRows(): ReturnType<typeof expectedFromLog>['rows']
}

async function openSystem(
  { onTestFinished }: Pick<TestContext, 'onTestFinished'>,
  { args = [], isStopped = false }: { args?: string[]; isStopped?: boolean } = {},
): Promise<TestSystem> {
  const redis = await startRedis({ forceNew: true, args })
  if ('skip' in redis) throw new Error(redis.skip)
  onTestFinished(() => redis.stop())
  if (isStopped) await redis.stop()
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
    readExpectedRows: () => sortRows(expectedFromLog(entries).rows),
  }
}

/** Sends `requests` requests. Returns the statuses, and quantiles of the response times in milliseconds. */
async function measureResponses(service: RunningService, requests = REQUESTS) {
  const times: number[] = []
  const statuses = new Set<number>()
  for (let n = 0; n < requests; n++) {
    const { status, ms } = await service.requestUser()
    statuses.add(status)
    times.push(ms)
  }
  times.sort((a, b) => a - b)
  const quantile = (fraction: number) =>
    Math.round((times[Math.floor(requests * fraction)] ?? 0) * 10) / 10
  const longest = times.at(-1) ?? Number.POSITIVE_INFINITY
  return { statuses: [...statuses], median: quantile(0.5), p99: quantile(0.99), longest }
}

describe.skipIf('skip' in redisProbe)(title, { concurrent: true }, () => {
  test.for(Object.entries(FAULTS))(
    'the service serves requests while Redis %s, loses no logout, and resumes polling (pitfalls 15, 16, 17)',
    { timeout: 90_000 },
    async ([, fault], context) => {
      const { annotate, expect } = context
      const { redis, database, service, logOut, readExpectedRows } = await openSystem(context)
      await service.waitForLogout(logOut())
      const before = await measureResponses(service, 50)
      expect(before.statuses).toEqual([200])
      // On a busy machine, the service can log an outage at its start, because Redis responds slowly.
      const warnings = () => service.countLines('warn', FAILING)
      const recoveries = () => service.countLines('info', RECOVERED)
      await expect.poll(() => warnings() === 0 || recoveries() > 0, WAIT).toBe(true)
      const earlierRecoveries = recoveries()
      const earlierWarnings = warnings()

      await fault.begin(redis)
      const during = await measureResponses(service)
      expect(during.statuses).toEqual([200])
      expect(during.longest).toBeLessThan(MAX_RESPONSE_MS)
      await annotate(`median ${during.median} ms, p99 ${during.p99} ms of ${REQUESTS} responses`)
      await annotate(`before that: median ${before.median} ms, p99 ${before.p99} ms`)
      await expect.poll(warnings, WAIT).toBeGreaterThan(earlierWarnings)

      const userDuringFault = logOut()
      await fault.end(redis)
      await annotate(
        `logout returned ${await service.waitForLogout(userDuringFault)} ms after the end of the fault`,
      )
      await expect.poll(recoveries, WAIT).toBe(earlierRecoveries + 1)
      // A fault causes at most two warnings: one for a lost connection or a timeout, and one for an error reply.
      expect(warnings()).toBeLessThanOrEqual(earlierWarnings + 2)
      expect(await readRows(database)).toEqual(readExpectedRows())
    },
  )

  test('the service serves requests if Redis is unavailable at the start, and polls when Redis is available (pitfall 17)', async (context) => {
    const { annotate, expect } = context
    const { redis, service, logOut } = await openSystem(context, { isStopped: true })
    expect((await service.requestUser()).status).toBe(200)
    const user = logOut()
    await expect.poll(() => service.countLines('warn', FAILING), WAIT).toBe(1)
    await redis.start()
    await annotate(
      `logout returned ${await service.waitForLogout(user)} ms after Redis is available`,
    )
    await expect.poll(() => service.countLines('info', RECOVERED), WAIT).toBe(1)
  })

  test('the service warns if Redis can evict the schedule, and restores the schedule after an eviction (pitfalls 15, 16)', async (context) => {
    const { annotate, expect } = context
    const args = ['--maxmemory', '4mb', '--maxmemory-policy', 'allkeys-lru']
    const { redis, database, service, logOut, readExpectedRows } = await openSystem(context, {
      args,
    })
    await service.waitForLogout(logOut())
    expect(service.countLines('warn', /^redis can evict the schedule$/)).toBe(1)
    await fillUntilEvicted(redis)
    const user = logOut()
    await annotate(
      `logout returned ${await service.waitForLogout(user)} ms after the schedule was evicted`,
    )
    expect(await readRows(database)).toEqual(readExpectedRows())
  })
})

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
