import { expect } from 'vitest'
import { loadConfig } from '../../src/config/config.js'
import type { Check } from '../../src/doctor/check.js'
import { checkQueue } from '../../src/doctor/queue.js'
import { mapStrings, openRespProxy, type RespRules } from '../_support/resp-proxy.js'
import { DOMAIN } from '../_support/tenant.js'
import {
  type Context,
  createTestJob,
  createTestLog,
  startJobs,
  type TestJob,
  type TestLog,
  waitForStarts,
} from '../jobs/fixture.js'

/** A job whose queue is on a Redis server, with the log of its worker. */
interface RunningJob extends TestLog {
  job: TestJob
}

/**
 * Starts a job that runs every 100 ms. Its queue is on the server of `redisUrl`.
 *
 * @param watchIntervalMs Interval of the watchdog, which reopens the queue after an outage, in milliseconds.
 */
export async function startOn(
  context: Context,
  redisUrl: string,
  watchIntervalMs = 500,
): Promise<RunningJob> {
  const { redisUrls } = loadRedisConfig(redisUrl)
  if (redisUrls === undefined) throw new TypeError('no REDIS_URL')
  const testLog = createTestLog()
  const job = createTestJob(100)
  const connection = { kind: 'redis', urls: redisUrls } as const
  await startJobs(context, {
    connection,
    prefix: DOMAIN,
    jobs: [job],
    log: testLog.log,
    watchIntervalMs,
  })
  return { ...testLog, job }
}

/** Runs the check of the queue, as `doctor` does without a database. Returns the result. */
export async function runQueueCheck(redisUrl: string): Promise<Check | undefined> {
  const databaseUrl = null
  const [check] = await checkQueue(loadRedisConfig(redisUrl), databaseUrl)
  return check
}

/** Expects that jobs run without a warning in the log, and that the check of the queue has this status. */
export async function expectToWork(
  context: Context,
  redisUrl: string,
  status: Check['status'] = 'ok',
): Promise<void> {
  const { job, lines } = await startOn(context, redisUrl)
  await waitForStarts(job, 3)
  expect([...lines('warn'), ...lines('error')]).toEqual([])
  expect(await runQueueCheck(redisUrl)).toMatchObject({ status })
}

/** Expects that the jobs do not start, and that the error and the check of the queue report this problem. */
export async function expectRefusal(
  context: Context,
  redisUrl: string,
  problem: RegExp,
): Promise<void> {
  const message = expect.stringMatching(problem)
  await expect(startOn(context, redisUrl)).rejects.toMatchObject({ code: 'CONFIGURATION', message })
  expect(await runQueueCheck(redisUrl)).toMatchObject({ status: 'failure', message })
}

/** A string that contains only a version, such as `7.0.15`. */
export const VERSION = /^\d+\.\d+\.\d+$/

/** Opens a proxy that makes the responses of Redis look like those of another server. Returns its URL. */
export async function emulate(
  { onTestFinished }: Context,
  target: string,
  rules: RespRules,
): Promise<string> {
  const proxy = await openRespProxy(target, rules)
  onTestFinished(() => proxy.close())
  return proxy.url
}

/**
 * Returns rules that change the replies to INFO and HELLO. In these replies, a server states its name and version.
 *
 * @param changeHello Changes one string of the reply to HELLO, such as the version.
 */
export function withDescription(
  changeInfo: (info: string) => string,
  changeHello: (text: string) => string,
): RespRules {
  return {
    rewrite([command], reply) {
      if (command === 'INFO') return mapStrings(reply, changeInfo)
      if (command === 'HELLO') return mapStrings(reply, changeHello)
      return reply
    },
  }
}

/** Returns rules that emulate another version of Redis. */
export function redisVersion(version: string): RespRules {
  return withDescription(
    (info) => info.replace(/redis_version:\S+/, `redis_version:${version}`),
    (text) => text.replace(VERSION, version),
  )
}

/** Emulates Valkey 8, whose responses to INFO and HELLO differ from those of Redis. */
export const VALKEY = withDescription(
  (info) =>
    info
      .replace(
        /redis_version:\S+/,
        'redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0',
      )
      .replace('redis_mode:', 'server_mode:'),
  (text) => text.replace(VERSION, '8.1.0').replace(/^redis$/, 'valkey'),
)

function loadRedisConfig(redisUrl: string) {
  return loadConfig({ AUTH0_DOMAIN: DOMAIN, REDIS_URL: redisUrl }, [])
}
