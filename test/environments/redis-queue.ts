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

/** Starts a job that runs ten times per second. Its queue is on the server of `redisUrl`. */
export async function startOn(
  context: Context,
  redisUrl: string,
  watchIntervalMs = 500,
): Promise<RunningJob> {
  const { redisUrls: urls } = load(redisUrl)
  if (urls === undefined) throw new TypeError('no REDIS_URL')
  const testLog = createTestLog()
  const job = createTestJob(100)
  const connection = { kind: 'redis', urls } as const
  await startJobs(context, {
    connection,
    prefix: DOMAIN,
    jobs: [job],
    log: testLog.log,
    watchIntervalMs,
  })
  return { ...testLog, job }
}

/** Runs the check of the queue like `doctor`. Returns its result. */
export async function examine(redisUrl: string): Promise<Check | undefined> {
  const [check] = await checkQueue(load(redisUrl), null)
  return check
}

/** Expects that jobs run without a warning, and that the check of `doctor` has this status. */
export async function expectToWork(
  context: Context,
  redisUrl: string,
  status: Check['status'] = 'ok',
): Promise<void> {
  const { job, lines } = await startOn(context, redisUrl)
  await waitForStarts(job, 3)
  expect([...lines('warn'), ...lines('error')]).toEqual([])
  expect(await examine(redisUrl)).toMatchObject({ status })
}

/** Expects that the jobs do not start, and that the error and `doctor` report this problem. */
export async function expectRefusal(
  context: Context,
  redisUrl: string,
  problem: RegExp,
): Promise<void> {
  const message = expect.stringMatching(problem)
  await expect(startOn(context, redisUrl)).rejects.toMatchObject({ code: 'CONFIGURATION', message })
  expect(await examine(redisUrl)).toMatchObject({ status: 'failure', message })
}

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

/** Returns rules that change the replies to INFO and HELLO. */
export function withDescription(
  changeInfo: (info: string) => string,
  changeHello: (text: string) => string,
): RespRules {
  return {
    rewrite([name], reply) {
      if (name === 'INFO') return mapStrings(reply, changeInfo)
      return name === 'HELLO' ? mapStrings(reply, changeHello) : reply
    },
  }
}

/** Returns rules that emulate another version of Redis. */
export function redisVersion(version: string): RespRules {
  return withDescription(
    (info) => info.replace(/redis_version:\S+/, `redis_version:${version}`),
    (text) => text.replace(/^\d+\.\d+\.\d+$/, version),
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
  (text) => text.replace(/^\d+\.\d+\.\d+$/, '8.1.0').replace(/^redis$/, 'valkey'),
)

function load(redisUrl: string) {
  return loadConfig({ AUTH0_DOMAIN: DOMAIN, REDIS_URL: redisUrl }, [])
}
