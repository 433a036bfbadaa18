import { Redis } from 'ioredis'
import { describe, type TestContext, test } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { startRedis, type TestRedis } from '../_support/redis.js'
import { PATIENCE, type RunningService, runService } from '../_support/running-service.js'
import { readRows } from '../_support/store.js'
import { sorted, truthOfLog } from '../_support/truth.js'

const FAILING = /^job queue is failing, and no job runs until it is back: /
const BACK = /^job queue is back$/

/** How many questions the API is asked, and how long one may take: less than the queue waits for Redis. */
const QUESTIONS = 300
const LONGEST_MS = 3_000

/** Redis takes any from who needs none. */
const PASSWORD = 'another'

const found = await startRedis({ own: true })
const title = 'skip' in found ? `Redis (skipped: ${found.skip})` : 'Redis'
if (!('skip' in found)) await found.stop()

/** A fault of Redis: how it comes, and how it goes. */
interface Fault {
  begin(redis: TestRedis): Promise<unknown>
  end(redis: TestRedis): Promise<unknown>
}

const FAULTS: Record<string, Fault> = {
  'is away and comes back empty': {
    begin: (redis) => redis.stop(),
    end: (redis) => redis.start(),
  },
  'is frozen': {
    begin: async (redis) => redis.freeze(),
    end: async (redis) => redis.thaw(),
  },
  'is demoted to a replica': {
    begin: (redis) => tell(redis, 'REPLICAOF', '127.0.0.1', '1'),
    end: (redis) => tell(redis, 'REPLICAOF', 'NO', 'ONE'),
  },
  'is full and evicts nothing': {
    begin: (redis) => tell(redis, 'CONFIG', 'SET', 'maxmemory', '1'),
    end: (redis) => tell(redis, 'CONFIG', 'SET', 'maxmemory', '0'),
  },
  'takes another password than before': {
    async begin(redis) {
      await tell(redis, 'CONFIG', 'SET', 'requirepass', PASSWORD)
      await tell(redis, 'CLIENT', 'KILL', 'TYPE', 'normal')
    },
    end: (redis) => tell(redis, 'CONFIG', 'SET', 'requirepass', ''),
  },
  'forbids its user to write': {
    begin: (redis) => tell(redis, 'ACL', 'SETUSER', 'default', '-@write', '-@scripting'),
    end: (redis) => tell(redis, 'ACL', 'SETUSER', 'default', '+@all'),
  },
}

/** A Redis, a service whose queue is in it, and whom it has to know of. */
interface World {
  redis: TestRedis
  database: TestDatabase
  service: RunningService
  /** Logs somebody new out in the tenant; returns who. */
  logOut(): string
  /** What the rows have to be. */
  truth(): ReturnType<typeof truthOfLog>['rows']
}

async function open(
  { onTestFinished }: Pick<TestContext, 'onTestFinished'>,
  { args = [], isAway = false }: { args?: string[]; isAway?: boolean } = {},
): Promise<World> {
  const redis = await startRedis({ own: true, args })
  if ('skip' in redis) throw new Error(redis.skip)
  onTestFinished(() => redis.stop())
  if (isAway) await redis.stop()
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
    truth: () => sorted(truthOfLog(entries).rows),
  }
}

/** How long the slower half, and the slowest, of many questions took, in milliseconds. */
async function askOften(service: RunningService, questions = QUESTIONS) {
  const times: number[] = []
  const statuses = new Set<number>()
  for (let n = 0; n < questions; n++) {
    const { status, ms } = await service.ask()
    statuses.add(status)
    times.push(ms)
  }
  times.sort((a, b) => a - b)
  const at = (share: number) => Math.round((times[Math.floor(questions * share)] ?? 0) * 10) / 10
  const longest = times.at(-1) ?? Number.POSITIVE_INFINITY
  return { statuses: [...statuses], median: at(0.5), p99: at(0.99), longest }
}

describe.skipIf('skip' in found)(title, { concurrent: true }, () => {
  test.for(Object.entries(FAULTS))(
    'that %s: the API answers as ever, nothing is lost, polling goes on by itself (P15, P16, P17)',
    { timeout: 90_000 },
    async ([, fault], context) => {
      const { annotate, expect } = context
      const { redis, database, service, logOut, truth } = await open(context)
      await service.knows(logOut())
      const before = await askOften(service, 50)
      expect(before.statuses).toEqual([200])
      // On a busy machine, Redis can have been late while this service started.
      const warnings = () => service.count('warn', FAILING)
      const recoveries = () => service.count('info', BACK)
      await expect.poll(() => warnings() - recoveries(), PATIENCE).toBe(0)
      const earlier = warnings()

      await fault.begin(redis)
      const during = await askOften(service)
      expect(during.statuses).toEqual([200])
      expect(during.longest).toBeLessThan(LONGEST_MS)
      await annotate(`median ${during.median} ms, p99 ${during.p99} ms of ${QUESTIONS} answers`)
      await annotate(`before that: median ${before.median} ms, p99 ${before.p99} ms`)
      await expect.poll(warnings, PATIENCE).toBe(earlier + 1)

      const meanwhile = logOut()
      await fault.end(redis)
      await annotate(`the logout is known ${await service.knows(meanwhile)} ms after it is over`)
      await expect.poll(recoveries, PATIENCE).toBe(earlier + 1)
      expect(warnings()).toBe(earlier + 1)
      expect(await readRows(database)).toEqual(truth())
    },
  )

  test('that is away at the start is begun without: the API answers, polling begins when it is there (P17)', async (context) => {
    const { annotate, expect } = context
    const { redis, service, logOut } = await open(context, { isAway: true })
    expect((await service.ask()).status).toBe(200)
    const user = logOut()
    await expect.poll(() => service.count('warn', FAILING), PATIENCE).toBe(1)
    await redis.start()
    await annotate(`the logout is known ${await service.knows(user)} ms after Redis is there`)
    await expect.poll(() => service.count('info', BACK), PATIENCE).toBe(1)
  })

  test('that evicts what it needs room for is warned of, and the schedule comes back (P15, P16)', async (context) => {
    const { annotate, expect } = context
    const args = ['--maxmemory', '4mb', '--maxmemory-policy', 'allkeys-lru']
    const { redis, database, service, logOut, truth } = await open(context, { args })
    await service.knows(logOut())
    expect(service.count('warn', /^redis may evict the schedule: set noeviction$/)).toBe(1)
    await fillUntilEvicted(redis)
    const user = logOut()
    await annotate(`the logout is known ${await service.knows(user)} ms after the schedule is gone`)
    expect(await readRows(database)).toEqual(truth())
  })
})

async function tell(redis: TestRedis, ...[command = '', ...args]: string[]): Promise<unknown> {
  const client = new Redis(redis.url, { retryStrategy: () => null, password: PASSWORD })
  client.on('error', () => {})
  try {
    return await client.call(command, ...args)
  } finally {
    client.disconnect()
  }
}

/** Writes other keys until none of the schedule's is left. */
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
