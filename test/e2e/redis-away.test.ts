import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
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
const skip = 'skip' in found
const title = skip ? `Redis (skipped: ${found.skip})` : 'Redis'
afterAll(() => (skip ? undefined : found.stop()))

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

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

async function ownRedis(args: string[] = []): Promise<TestRedis> {
  const server = await startRedis({ own: true, args })
  if ('skip' in server) throw new Error(server.skip)
  onTestFinished(() => server.stop())
  return server
}

async function run(redis: TestRedis) {
  const service = await runService({ DATABASE_URL: database.url, REDIS_URL: redis.url })
  onTestFinished(() => service.close())
  return service
}

let users = 0
const entries: Record<string, unknown>[] = []

function logOut(service: RunningService): string {
  const user = `auth0|${++users}`
  entries.push(service.logout(user))
  return user
}

/** How long the slower half, and the slowest, of many questions took, in milliseconds. */
async function askOften(service: RunningService) {
  const times: number[] = []
  for (let n = 0; n < QUESTIONS; n++) {
    const { status, ms } = await service.ask()
    expect(status).toBe(200)
    times.push(ms)
  }
  times.sort((a, b) => a - b)
  const at = (share: number) => Math.round((times[Math.floor(QUESTIONS * share)] ?? 0) * 10) / 10
  return { median: at(0.5), p99: at(0.99), longest: times.at(-1) ?? Number.POSITIVE_INFINITY }
}

describe.skipIf(skip)(title, () => {
  test.for(Object.entries(FAULTS))(
    'that %s: the API answers as ever, nothing is lost, polling goes on by itself (P15, P16, P17)',
    { timeout: 90_000 },
    async ([, fault], { annotate }) => {
      const redis = await ownRedis()
      const service = await run(redis)
      await service.knows(logOut(service))
      const before = await askOften(service)

      await fault.begin(redis)
      const during = await askOften(service)
      expect(during.longest).toBeLessThan(LONGEST_MS)
      await annotate(`median ${during.median} ms, p99 ${during.p99} ms of ${QUESTIONS} answers`)
      await annotate(`before that: median ${before.median} ms, p99 ${before.p99} ms`)
      await expect.poll(() => service.count('warn', FAILING), PATIENCE).toBe(1)

      const meanwhile = logOut(service)
      await fault.end(redis)
      await annotate(`the logout is known ${await service.knows(meanwhile)} ms after it is over`)
      await expect.poll(() => service.count('info', BACK), PATIENCE).toBe(1)
      expect(service.count('warn', FAILING)).toBe(1)
      expect(await readRows(database)).toEqual(sorted(truthOfLog(entries).rows))
    },
  )

  test('that is away at the start is begun without: the API answers, polling begins when it is there (P17)', async ({
    annotate,
  }) => {
    const redis = await ownRedis()
    await redis.stop()
    const service = await run(redis)
    expect((await service.ask()).status).toBe(200)
    const user = logOut(service)
    await expect.poll(() => service.count('warn', FAILING), PATIENCE).toBe(1)
    await redis.start()
    await annotate(`the logout is known ${await service.knows(user)} ms after Redis is there`)
    await expect.poll(() => service.count('info', BACK), PATIENCE).toBe(1)
  })

  test('that evicts what it needs room for is warned of, and the schedule comes back (P15, P16)', async ({
    annotate,
  }) => {
    const redis = await ownRedis(['--maxmemory', '4mb', '--maxmemory-policy', 'allkeys-lru'])
    const service = await run(redis)
    await service.knows(logOut(service))
    expect(service.count('warn', /^redis may evict the schedule: set noeviction$/)).toBe(1)
    await fillUntilEvicted(redis)
    const user = logOut(service)
    await annotate(`the logout is known ${await service.knows(user)} ms after the schedule is gone`)
    expect(await readRows(database)).toEqual(sorted(truthOfLog(entries).rows))
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
