import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, type TestContext, test } from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import { hang } from '../../src/simulator/faults.js'
import type { SimulatorOptions } from '../../src/simulator/server.js'
import { type RunningCommand, runCommand } from '../_support/cli.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { expectedFromLog } from '../_support/expected-rows.js'
import { startRedis } from '../_support/redis.js'
import { expireLease, readRows } from '../_support/store.js'
import { openTenant, type TestTenant } from '../_support/tenant.js'
import { hasReconciled, startWorker, workerEnv } from '../_support/worker.js'

const WAIT = { timeout: 60_000, interval: 20 }
const LOGS = '/api/v2/logs'
const POLL_INTERVAL_MS = 100
/** The time for which a test counts the requests of the workers. */
const COUNTING_MS = 2_000
/** How long a worker holds the lease, which is the exclusive right to poll. */
const LEASE_TTL_MS = 30_000

const redis = await startRedis({ forceNew: true })
afterAll(() => ('skip' in redis ? undefined : redis.stop()))

let redisDatabaseCount = 0
const queues = [
  { queue: 'PostgreSQL', queueEnv: () => ({}), skip: false },
  {
    queue: 'skip' in redis ? `Redis (skipped: ${redis.skip})` : 'Redis',
    // Each test has its own Redis database, because an existing schedule would keep its intervals.
    queueEnv: () => ('skip' in redis ? {} : { REDIS_URL: `${redis.url}/${redisDatabaseCount++}` }),
    skip: 'skip' in redis,
  },
]

type Context = Pick<TestContext, 'onTestFinished'>

/** A tenant, a database, and the environment of workers that read the tenant into the database. */
interface TestSystem {
  auth0: TestTenant
  database: TestDatabase
  env: Record<string, string>
}

/** Opens a tenant and a database until the test ends. */
async function openSystem(
  { onTestFinished }: Context,
  variables: Record<string, string>,
  options: Partial<SimulatorOptions> = {},
): Promise<TestSystem> {
  const database = await createTestDatabase()
  onTestFinished(() => database.drop())
  const auth0 = await openTenant({}, options)
  onTestFinished(() => auth0.close())
  return { auth0, database, env: { ...workerEnv(auth0, database), ...variables } }
}

/** Runs `last-logout worker` as a process, until the end of the test. */
function runWorkerProcess(
  { onTestFinished }: Context,
  env: Record<string, string>,
): RunningCommand {
  const command = runCommand(['worker'], env)
  onTestFinished(() => command.kill('SIGKILL'))
  return command
}

/** Writes `count` logouts of at most 700 users and 900 sessions, so that later logouts change existing rows. */
function logOut({ auth0 }: TestSystem, count: number): void {
  for (let n = 0; n < count; n++) {
    const userId = `auth0|${10_000 + (n % 700)}`
    auth0.tenant.write(buildEntry('slo', { userId, sessionId: `S${n % 900}` }))
  }
}

/** Returns the rows that the database must contain when the log has been read to its end. */
const listExpectedRows = ({ auth0 }: TestSystem) => expectedFromLog(auth0.tenant.entries()).rows
const countSessions = async ({ database }: TestSystem): Promise<number> => {
  const [row] = await database.query<{ count: number }>(
    'SELECT count(*)::int AS count FROM session_logout',
  )
  return row?.count ?? 0
}

/**
 * Counts the log requests of all workers during {@link COUNTING_MS}. Expects no more than one request per poll
 * interval, plus two for the intervals that overlap the beginning and the end. Repeats the count in two cases: a worker reconciled, which sends other requests,
 * or the machine was so busy that there were fewer requests than half of the poll intervals.
 */
async function countPolls(
  { auth0 }: TestSystem,
  { expect }: Pick<TestContext, 'expect'>,
): Promise<number> {
  const deadline = performance.now() + WAIT.timeout
  for (;;) {
    auth0.simulator.requests.clear()
    const countedFrom = performance.now()
    await sleep(COUNTING_MS)
    const intervals = (performance.now() - countedFrom) / POLL_INTERVAL_MS
    const requests = auth0.simulator.requests.all().filter(({ url }) => url.startsWith(LOGS))
    // The requests of a reconcile have the parameter `q`.
    if (requests.some(({ url }) => url.includes('q='))) continue
    expect(requests.length).toBeLessThanOrEqual(intervals + 2)
    if (requests.length > intervals / 2) return requests.length
    expect(performance.now(), `${requests.length} requests in ${intervals} intervals`).toBeLessThan(
      deadline,
    )
  }
}

/** Counts the polls that a worker skipped because another worker held the lease. */
const countLeaseHeld = (worker: RunningCommand): number =>
  worker.stdout().split('"outcome":"lease_held"').length - 1

/** Reads the owner and the remaining time of the lease, by the clock of the database. */
async function readLease({
  database,
}: TestSystem): Promise<{ owner: string | null; remainingMs: number }> {
  const [row] = await database.query<{ owner: string | null; remainingMs: number }>(`
    SELECT lease_owner AS owner,
      extract(epoch FROM lease_until - clock_timestamp())::float8 * 1000 AS "remainingMs"
    FROM tenant`)
  if (row === undefined) throw new Error('the tenant row is missing')
  return row
}

describe.concurrent.each(queues)('with the schedule in $queue', ({ queueEnv, skip }) => {
  test.skipIf(skip).for([1, 2, 5, 10])(
    '%i workers together send at most one request per poll interval, and store the expected rows (pitfall 15)',
    // The tests of a queue run one after the other, because many workers at once are slow.
    { timeout: 90_000, concurrent: false },
    async (workerCount, context) => {
      const { annotate, expect, onTestFinished } = context
      const system = await openSystem(context, {
        ...queueEnv(),
        POLL_INTERVAL: `${POLL_INTERVAL_MS}ms`,
      })
      const { database } = system
      const starting = Array.from({ length: workerCount }, () => startWorker(system.env))
      const workers = await Promise.all(starting)
      onTestFinished(async () => void (await Promise.all(workers.map((worker) => worker.close()))))
      logOut(system, 250)
      await expect.poll(() => readRows(database), WAIT).toEqual(listExpectedRows(system))

      // After the first reconcile, and while the log has no new entries, a poll sends one request.
      await expect.poll(() => workers.some(hasReconciled), WAIT).toBe(true)
      const requestCount = await countPolls(system, context)

      for (let n = 0; n < 10; n++) {
        logOut(system, 30)
        await sleep(POLL_INTERVAL_MS / 3)
      }
      await expect.poll(() => readRows(database), WAIT).toEqual(listExpectedRows(system))
      const problems = workers.flatMap((worker) => [
        ...worker.logLines('error'),
        ...worker.logLines('warn'),
      ])
      expect(problems).toEqual([])
      await annotate(`${requestCount} requests in ${COUNTING_MS / 1000} s`)
    },
  )
})

describe.concurrent('a worker process', () => {
  test('a worker process stores the current page completely after SIGTERM, and the next process resumes', async (context) => {
    const { expect } = context
    const system = await openSystem(context, {}, { latencyMs: 20 })
    for (let n = 0; n < 3_000; n++) {
      system.auth0.tenant.write(buildEntry('slo', { userId: 'auth0|1', sessionId: `S${n}` }))
    }
    const first = runWorkerProcess(context, system.env)
    await expect.poll(() => countSessions(system), { ...WAIT, interval: 1 }).toBeGreaterThan(0)
    first.kill('SIGTERM')
    const signalledAt = performance.now()
    expect(await first.exited).toBe(0)
    expect(performance.now() - signalledAt).toBeLessThan(5_000)
    const storedSessions = await countSessions(system)
    // A page has 100 entries, and each entry has another session.
    expect(storedSessions % 100).toBe(0)
    expect(storedSessions).toBeLessThan(3_000)
    const [lease] = await system.database.query('SELECT lease_owner FROM tenant')
    expect(lease).toEqual({ lease_owner: null })
    const second = runWorkerProcess(context, system.env)
    await expect.poll(() => countSessions(system), WAIT).toBe(3_000)
    second.kill('SIGTERM')
    expect(await second.exited).toBe(0)
    expect(await readRows(system.database)).toEqual(listExpectedRows(system))
  })

  describe.each(queues)(
    'with its schedule in $queue',
    { timeout: 90_000 },
    ({ queueEnv, skip }) => {
      test.skipIf(skip)(
        'a worker process that is killed while it holds the lease is replaced by another process, without loss (pitfall 15)',
        async (context) => {
          const { annotate, expect } = context
          const system = await openSystem(context, { ...queueEnv(), LOG_LEVEL: 'debug' })
          const sessionCount = 1_500
          for (let n = 0; n < sessionCount; n++) {
            system.auth0.tenant.write(buildEntry('slo', { userId: 'auth0|1', sessionId: `S${n}` }))
          }
          // The tenant does not respond from the fifth page on, so that the worker is killed before it has read the
          // whole log.
          let pageCount = 0
          const isLatePage = ({ searchParams }: URL) => searchParams.has('from') && ++pageCount > 4
          const fault = { path: LOGS, when: isLatePage, times: Infinity, respond: hang() }
          system.auth0.simulator.faults.push(fault)
          const holder = runWorkerProcess(context, system.env)
          await expect.poll(() => countSessions(system), WAIT).toBeGreaterThan(0)
          const standby = runWorkerProcess(context, system.env)
          await expect.poll(() => countLeaseHeld(standby), WAIT).toBeGreaterThan(0)
          holder.kill('SIGKILL')
          expect(await holder.exited).toBe(null)
          system.auth0.simulator.faults.clear()
          const sessionsBefore = await countSessions(system)
          expect(sessionsBefore % 100).toBe(0)
          expect(sessionsBefore).toBeLessThan(sessionCount)

          // The standby waits until the lease expires.
          const heldBefore = countLeaseHeld(standby)
          await expect.poll(() => countLeaseHeld(standby), WAIT).toBeGreaterThan(heldBefore + 1)
          expect(await countSessions(system)).toBe(sessionsBefore)
          const lease = await readLease(system)
          expect(lease.owner).toEqual(expect.any(String))
          expect(lease.remainingMs).toBeGreaterThan(0)
          expect(lease.remainingMs).toBeLessThanOrEqual(LEASE_TTL_MS)

          // Expires the lease, so that the test does not wait for its end.
          await expireLease(system.database)
          const expiredAt = performance.now()
          await expect.poll(() => countSessions(system), WAIT).toBeGreaterThan(sessionsBefore)
          const takeoverMs = performance.now() - expiredAt
          // The standby acquires the lease at its next poll. Most of this time is a margin for a busy machine.
          expect(takeoverMs).toBeLessThan(5_000)
          await expect.poll(() => countSessions(system), WAIT).toBe(sessionCount)
          expect(await readRows(system.database)).toEqual(listExpectedRows(system))
          standby.kill('SIGTERM')
          expect(await standby.exited).toBe(0)
          await annotate(`taken over ${Math.round(takeoverMs)} ms after the lease expired`)
        },
      )
    },
  )
})
