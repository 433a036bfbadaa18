import { once } from 'node:events'
import { Redis } from 'ioredis'
import { describe, test } from 'vitest'
import { startRedis, type TestRedis, type TestRedisOptions } from '../_support/redis.js'
import { WAIT } from '../_support/wait.js'
import {
  type Context,
  createTestJob,
  createTestLog,
  forbidConsole,
  NEVER_MS,
  startJobs,
  startsAgain,
  uniquePrefix,
} from './fixture.js'

const found = await startRedis({ own: true })
const skip = 'skip' in found
if (!skip) await found.stop()
forbidConsole()

async function ownRedis(
  { onTestFinished }: Context,
  options: TestRedisOptions = {},
): Promise<TestRedis> {
  const server = await startRedis({ ...options, own: true })
  if ('skip' in server) throw new Error(server.skip)
  onTestFinished(() => server.stop())
  return server
}

const title = skip ? `a queue in Redis (skipped: ${found.skip})` : 'a queue in Redis'

describe.skipIf(skip)(title, { concurrent: true }, () => {
  const prefix = uniquePrefix()
  const redis = (url: string) => ({ kind: 'redis', urls: [url] }) as const

  test('recovers after Redis was restarted empty, and logs it once', async (context) => {
    const { expect } = context
    const server = await ownRedis(context)
    const { log, lines } = createTestLog()
    const job = createTestJob(100)
    const rare = createTestJob(NEVER_MS, undefined, 'rare')
    await startJobs(context, { connection: redis(server.url), prefix, jobs: [job, rare], log })
    await startsAgain(job)
    await server.restart(async () => {
      await expect.poll(() => lines('warn'), WAIT).toHaveLength(1)
    })
    await startsAgain(job, 5)
    await expect.poll(() => rare.startedAt.length, WAIT).toBe(2)
    await expect.poll(() => lines('info'), WAIT).toHaveLength(1)
    expect(lines('warn')).toHaveLength(1)
    expect(lines('error')).toEqual([])
  })

  test('starts once Redis is available, and logs advice until then', async (context) => {
    const { expect } = context
    const server = await ownRedis(context, { args: ['--requirepass', 's3cret'] })
    const url = server.url.replace('//', '//:s3cret@')
    const { log, lines, text } = createTestLog()
    const job = createTestJob(100)
    await server.restart(async () => {
      await startJobs(context, { connection: redis(url), prefix, jobs: [job], log })
      expect(lines('warn')).toMatchObject([
        {
          err: { code: 'ECONNREFUSED' },
          host: new URL(url).host,
          msg: 'job queue unavailable',
          advice: expect.stringMatching(/check that redis.*REDIS_URL/),
        },
      ])
    })
    await startsAgain(job, 5)
    await expect.poll(() => lines('info'), WAIT).toMatchObject([{ msg: 'job queue restored' }])
    expect(text()).not.toMatch(/s3cret| {4}at /)
  })

  test('closes during an outage of Redis, once the running job has ended', async (context) => {
    const { expect } = context
    const server = await ownRedis(context)
    const { log, lines } = createTestLog()
    let ended = false
    const job = createTestJob(NEVER_MS, async (signal) => {
      await once(signal, 'abort')
      ended = true
    })
    const jobs = await startJobs(context, {
      connection: redis(server.url),
      prefix,
      jobs: [job],
      log,
    })
    await expect.poll(() => job.startedAt.length, WAIT).toBe(1)
    await server.restart(async () => {
      await expect.poll(() => lines('warn'), WAIT).toHaveLength(1)
      await jobs.close()
    })
    expect(ended).toBe(true)
  })

  test('closes while Redis is unresponsive', async (context) => {
    const server = await ownRedis(context)
    const job = createTestJob(100)
    const jobs = await startJobs(context, {
      connection: redis(server.url),
      prefix,
      jobs: [job],
      timeoutMs: 500,
    })
    await startsAgain(job)
    server.freeze()
    await jobs.close()
  })

  test('warns if Redis can evict the schedule', async (context) => {
    const { expect } = context
    const { url } = await ownRedis(context, { args: ['--maxmemory-policy', 'allkeys-lru'] })
    const { log, lines } = createTestLog()
    const job = createTestJob(100)
    await startJobs(context, { connection: redis(url), prefix, jobs: [job], log })
    await startsAgain(job)
    expect(lines('warn')).toMatchObject([{ maxmemoryPolicy: 'allkeys-lru' }])
  })

  test('uses the password and the database of the URL, and logs neither', async (context) => {
    const { expect } = context
    const { url } = await ownRedis(context, { args: ['--requirepass', 's3cret'] })
    const { log, text } = createTestLog()
    const withPassword = (password: string) => `${url.replace('//', `//:${password}@`)}/3`
    const [right, wrong] = [createTestJob(100), createTestJob(100)]
    await startJobs(context, {
      connection: redis(withPassword('s3cret')),
      prefix,
      jobs: [right],
      log,
    })
    await startJobs(context, {
      connection: redis(withPassword('wr0ng')),
      prefix,
      jobs: [wrong],
      log,
    })
    await startsAgain(right)
    expect(await readKeyspace(context, withPassword('s3cret'))).toMatch(/^db3:/m)
    expect(text()).toContain('WRONGPASS')
    expect(text()).not.toMatch(/s3cret|wr0ng/)
    expect(wrong.startedAt).toEqual([])
  })

  test('keeps all its keys in one slot of a cluster', async (context) => {
    const { expect } = context
    const { url } = await ownRedis(context, { cluster: true })
    const job = createTestJob(100)
    await startJobs(context, { connection: redis(url), prefix, jobs: [job] })
    await startsAgain(job, 5)
    expect(new Set(await readSlots(context, url)).size).toBe(1)
  })
})

async function readSlots({ onTestFinished }: Context, url: string): Promise<unknown[]> {
  const client = new Redis(url)
  onTestFinished(() => client.disconnect())
  const keys = await client.keys('*')
  return Promise.all(keys.map((key) => client.call('CLUSTER', 'KEYSLOT', key)))
}

async function readKeyspace({ onTestFinished }: Context, url: string): Promise<string> {
  const client = new Redis(url)
  onTestFinished(() => client.disconnect())
  return client.info('keyspace')
}
