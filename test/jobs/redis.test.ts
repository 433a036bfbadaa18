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
  ONE_HOUR_MS,
  startJobs,
  uniquePrefix,
  waitForStarts,
} from './fixture.js'

// Each test starts a server of its own. This server only shows whether `redis-server` is installed.
const redisProbe = await startRedis({ forceNew: true })
const skip = 'skip' in redisProbe
if (!skip) await redisProbe.stop()
forbidConsole()

/** Starts a Redis server for one test, and stops it after the test. */
async function startOwnRedis(
  { onTestFinished }: Context,
  options: TestRedisOptions = {},
): Promise<TestRedis> {
  const server = await startRedis({ ...options, forceNew: true })
  if ('skip' in server) throw new Error(server.skip)
  onTestFinished(() => server.stop())
  return server
}

const title = skip ? `a queue in Redis (skipped: ${redisProbe.skip})` : 'a queue in Redis'

describe.skipIf(skip)(title, { concurrent: true }, () => {
  const prefix = uniquePrefix()
  const connectionTo = (url: string) => ({ kind: 'redis', urls: [url] }) as const

  test('jobs continue after a restart of Redis without data, and the outage is logged once', async (context) => {
    const { expect } = context
    const server = await startOwnRedis(context)
    const { log, lines } = createTestLog()
    const job = createTestJob(100)
    const rareJob = createTestJob(ONE_HOUR_MS, { name: 'rare' })
    await startJobs(context, {
      connection: connectionTo(server.url),
      prefix,
      jobs: [job, rareJob],
      log,
    })
    await waitForStarts(job)
    const whileStopped = async () => {
      await expect.poll(() => lines('warn'), WAIT).toHaveLength(1)
    }
    await server.restart(whileStopped)
    await waitForStarts(job, 5)
    // A newly scheduled job runs at once, so the rare job runs a second time.
    await expect.poll(() => rareJob.startedAt.length, WAIT).toBe(2)
    await expect.poll(() => lines('info'), WAIT).toHaveLength(1)
    expect(lines('warn')).toHaveLength(1)
    expect(lines('error')).toEqual([])
  })

  test('jobs start when Redis becomes available, and the warning contains advice but no password and no stack trace', async (context) => {
    const { expect } = context
    const server = await startOwnRedis(context, { args: ['--requirepass', 's3cret'] })
    const url = server.url.replace('//', '//:s3cret@')
    const { log, lines, text } = createTestLog()
    const job = createTestJob(100)
    const whileStopped = async () => {
      await startJobs(context, { connection: connectionTo(url), prefix, jobs: [job], log })
      expect(lines('warn')).toMatchObject([
        {
          err: { code: 'ECONNREFUSED' },
          host: new URL(url).host,
          msg: 'job queue unavailable',
          advice: expect.stringMatching(
            /check that Redis runs and is reachable from this host, and that REDIS_URL is correct/,
          ),
        },
      ])
    }
    await server.restart(whileStopped)
    await waitForStarts(job, 5)
    await expect.poll(() => lines('info'), WAIT).toMatchObject([{ msg: 'job queue restored' }])
    expect(text()).not.toContain('s3cret')
    // Lines of a stack trace begin with four blanks and `at`.
    expect(text()).not.toContain('    at ')
  })

  test('close waits for the running job during an outage of Redis', async (context) => {
    const { expect } = context
    const server = await startOwnRedis(context)
    const { log, lines } = createTestLog()
    let hasEnded = false
    const work = async (signal: AbortSignal) => {
      await once(signal, 'abort')
      hasEnded = true
    }
    const job = createTestJob(ONE_HOUR_MS, { work })
    const jobs = await startJobs(context, {
      connection: connectionTo(server.url),
      prefix,
      jobs: [job],
      log,
    })
    await expect.poll(() => job.startedAt.length, WAIT).toBe(1)
    const whileStopped = async () => {
      await expect.poll(() => lines('warn'), WAIT).toHaveLength(1)
      await jobs.close()
    }
    await server.restart(whileStopped)
    expect(hasEnded).toBe(true)
  })

  test('close ends while Redis is unresponsive', async (context) => {
    const server = await startOwnRedis(context)
    const job = createTestJob(100)
    const jobs = await startJobs(context, {
      connection: connectionTo(server.url),
      prefix,
      jobs: [job],
      timeoutMs: 500,
    })
    await waitForStarts(job)
    server.freeze()
    // If `close` waited for Redis, the test would time out.
    await jobs.close()
  })

  test('createJobs logs a warning if Redis can evict the schedule', async (context) => {
    const { expect } = context
    const { url } = await startOwnRedis(context, { args: ['--maxmemory-policy', 'allkeys-lru'] })
    const { log, lines } = createTestLog()
    const job = createTestJob(100)
    await startJobs(context, { connection: connectionTo(url), prefix, jobs: [job], log })
    await waitForStarts(job)
    expect(lines('warn')).toMatchObject([{ maxmemoryPolicy: 'allkeys-lru' }])
  })

  test('jobs use the password and the database of the URL, and the log does not contain the password', async (context) => {
    const { expect } = context
    const { url } = await startOwnRedis(context, { args: ['--requirepass', 's3cret'] })
    const { log, text } = createTestLog()
    const urlOfDatabase3 = (password: string) => `${url.replace('//', `//:${password}@`)}/3`
    const [jobWithPassword, jobWithWrongPassword] = [createTestJob(100), createTestJob(100)]
    await startJobs(context, {
      connection: connectionTo(urlOfDatabase3('s3cret')),
      prefix,
      jobs: [jobWithPassword],
      log,
    })
    await startJobs(context, {
      connection: connectionTo(urlOfDatabase3('wr0ng')),
      prefix,
      jobs: [jobWithWrongPassword],
      log,
    })
    await waitForStarts(jobWithPassword)
    expect(await readKeyspace(context, urlOfDatabase3('s3cret'))).toMatch(/^db3:/m)
    expect(text()).toContain('WRONGPASS')
    expect(text()).not.toMatch(/s3cret|wr0ng/)
    expect(jobWithWrongPassword.startedAt).toEqual([])
  })

  test('all keys of a queue are in one slot of a cluster', async (context) => {
    const { expect } = context
    const { url } = await startOwnRedis(context, { cluster: true })
    const job = createTestJob(100)
    await startJobs(context, { connection: connectionTo(url), prefix, jobs: [job] })
    await waitForStarts(job, 5)
    expect(new Set(await readSlots(context, url)).size).toBe(1)
  })
})

/** Returns the hash slot of each key on the server. */
async function readSlots({ onTestFinished }: Context, url: string): Promise<unknown[]> {
  const client = new Redis(url)
  onTestFinished(() => client.disconnect())
  const keys = await client.keys('*')
  return Promise.all(keys.map((key) => client.call('CLUSTER', 'KEYSLOT', key)))
}

/** Returns the section of INFO that lists the databases with keys, one line such as `db3:keys=7` for each. */
async function readKeyspace({ onTestFinished }: Context, url: string): Promise<string> {
  const client = new Redis(url)
  onTestFinished(() => client.disconnect())
  return client.info('keyspace')
}
