import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, type TestContext, test } from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import { hang } from '../../src/simulator/faults.js'
import type { SimulatorOptions } from '../../src/simulator/server.js'
import { type RunningCommand, runCommand } from '../_support/cli.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { startRedis } from '../_support/redis.js'
import { readRows } from '../_support/store.js'
import { openTenant, type TestTenant } from '../_support/tenant.js'
import { truthOfLog } from '../_support/truth.js'
import { hasReconciled, startWorker, workerEnv } from '../_support/worker.js'
import { endLease } from '../campaign/write-log.js'

const PATIENCE = { timeout: 60_000, interval: 20 }
const LOGS = '/api/v2/logs'
const INTERVAL_MS = 100
const WINDOW_MS = 2_000
/** What the lease is given for, in milliseconds. */
const LEASE_MS = 30_000

const redis = await startRedis({ own: true })
afterAll(() => ('skip' in redis ? undefined : redis.stop()))

let databases = 0
const queues = [
  { queue: 'PostgreSQL', queueEnv: () => ({}), skip: false },
  {
    queue: 'skip' in redis ? `Redis (skipped: ${redis.skip})` : 'Redis',
    // A database of Redis for each test: a schedule that is there already keeps its rhythm.
    queueEnv: () => ('skip' in redis ? {} : { REDIS_URL: `${redis.url}/${databases++}` }),
    skip: 'skip' in redis,
  },
]

type Context = Pick<TestContext, 'onTestFinished'>

interface World {
  t: TestTenant
  database: TestDatabase
  env: Record<string, string>
}

/** A tenant and a database that end with the test. */
async function open(
  { onTestFinished }: Context,
  more: Record<string, string>,
  options: Partial<SimulatorOptions> = {},
): Promise<World> {
  const database = await createTestDatabase()
  onTestFinished(() => database.drop())
  const t = await openTenant({}, options)
  onTestFinished(() => t.close())
  return { t, database, env: { ...workerEnv(t, database), ...more } }
}

function run({ onTestFinished }: Context, env: Record<string, string>): RunningCommand {
  const command = runCommand(['worker'], env)
  onTestFinished(() => command.kill('SIGKILL'))
  return command
}

/** So many people log out, one after the other. */
function logOut({ t }: World, count: number): void {
  for (let n = 0; n < count; n++) {
    const userId = `auth0|${10_000 + (n % 700)}`
    t.tenant.write(buildEntry('slo', { userId, sessionId: `S${n % 900}` }))
  }
}

const truth = ({ t }: World) => truthOfLog(t.tenant.entries()).rows
const countSessions = async ({ database }: World): Promise<number> => {
  const [row] = await database.query<{ count: number }>(
    'SELECT count(*)::int AS count FROM session_logout',
  )
  return row?.count ?? 0
}

/**
 * The requests of a window in which the log is polled and no more: now and then it is reconciled too.
 * There are never more than there are slots, nor, unless the machine is busy, less than half as many.
 */
async function countPolls({ t }: World, { expect }: Pick<TestContext, 'expect'>): Promise<number> {
  const giveUpAt = performance.now() + PATIENCE.timeout
  for (;;) {
    t.simulator.requests.clear()
    const from = performance.now()
    await sleep(WINDOW_MS)
    const slots = (performance.now() - from) / INTERVAL_MS
    const requests = t.simulator.requests.all().filter(({ url }) => url.startsWith(LOGS))
    if (requests.some(({ url }) => url.includes('q='))) continue
    expect(requests.length).toBeLessThanOrEqual(slots + 2)
    if (requests.length > slots / 2) return requests.length
    expect(performance.now(), `${requests.length} requests in ${slots} slots`).toBeLessThan(
      giveUpAt,
    )
  }
}

/** How often a worker has found the lease in another's hands. */
const countLeaseHeld = (worker: RunningCommand): number =>
  worker.stdout().split('"outcome":"lease_held"').length - 1

/** Who has the lease, and for how long by the clock of the database. */
async function readLease({ database }: World): Promise<{ owner: string | null; leftMs: number }> {
  const [row] = await database.query<{ owner: string | null; leftMs: number }>(`
    SELECT lease_owner AS owner,
      extract(epoch FROM lease_until - clock_timestamp())::float8 * 1000 AS "leftMs"
    FROM tenant`)
  if (row === undefined) throw new Error('the tenant row is missing')
  return row
}

describe.concurrent.each(queues)('workers with their schedule on $queue', ({ queueEnv, skip }) => {
  test.skipIf(skip).for([1, 2, 5, 10])(
    '%i at once send the requests of one, and come to the same rows (P15)',
    // One after the other, but beside those of the other queue: many workers at once are slow.
    { timeout: 90_000, concurrent: false },
    async (count, context) => {
      const { annotate, expect, onTestFinished } = context
      const world = await open(context, { ...queueEnv(), POLL_INTERVAL: `${INTERVAL_MS}ms` })
      const { database } = world
      const starting = Array.from({ length: count }, () => startWorker(world.env))
      const workers = await Promise.all(starting)
      onTestFinished(async () => void (await Promise.all(workers.map((worker) => worker.close()))))
      logOut(world, 250)
      await expect.poll(() => readRows(database), PATIENCE).toEqual(truth(world))

      // With nothing new, a poll is one request.
      await expect.poll(() => workers.some(hasReconciled), PATIENCE).toBe(true)
      const requests = await countPolls(world, context)

      for (let n = 0; n < 10; n++) {
        logOut(world, 30)
        await sleep(INTERVAL_MS / 3)
      }
      await expect.poll(() => readRows(database), PATIENCE).toEqual(truth(world))
      const lines = workers.flatMap((worker) => [...worker.lines('error'), ...worker.lines('warn')])
      expect(lines).toEqual([])
      await annotate(`${requests} requests in ${WINDOW_MS / 1000} s`)
    },
  )
})

describe.concurrent('the program', () => {
  test('that gets SIGTERM in the middle of a page stores it whole, and the next one goes on', async (context) => {
    const { expect } = context
    const world = await open(context, {}, { latencyMs: 20 })
    for (let n = 0; n < 3_000; n++) {
      world.t.tenant.write(buildEntry('slo', { userId: 'auth0|1', sessionId: `S${n}` }))
    }
    const first = run(context, world.env)
    await expect.poll(() => countSessions(world), { ...PATIENCE, interval: 1 }).toBeGreaterThan(0)
    first.kill('SIGTERM')
    const toldAt = performance.now()
    expect(await first.exited).toBe(0)
    expect(performance.now() - toldAt).toBeLessThan(5_000)
    const stored = await countSessions(world)
    expect(stored % 100).toBe(0)
    expect(stored).toBeLessThan(3_000)
    const [lease] = await world.database.query('SELECT lease_owner FROM tenant')
    expect(lease).toEqual({ lease_owner: null })
    const second = run(context, world.env)
    await expect.poll(() => countSessions(world), PATIENCE).toBe(3_000)
    second.kill('SIGTERM')
    expect(await second.exited).toBe(0)
    expect(await readRows(world.database)).toEqual(truth(world))
  })

  describe.each(queues)(
    'with its schedule on $queue',
    { timeout: 90_000 },
    ({ queueEnv, skip }) => {
      test.skipIf(skip)(
        'that is killed while it holds the lease is followed by another, and nothing is lost (P15)',
        async (context) => {
          const { annotate, expect } = context
          const world = await open(context, { ...queueEnv(), LOG_LEVEL: 'debug' })
          const all = 1_500
          for (let n = 0; n < all; n++) {
            world.t.tenant.write(buildEntry('slo', { userId: 'auth0|1', sessionId: `S${n}` }))
          }
          // From the fifth page on there is no response: it is killed in the middle of its catch-up.
          let pages = 0
          const isLatePage = ({ searchParams }: URL) => searchParams.has('from') && ++pages > 4
          const fault = { path: LOGS, when: isLatePage, times: Infinity, respond: hang() }
          world.t.simulator.faults.push(fault)
          const holder = run(context, world.env)
          await expect.poll(() => countSessions(world), PATIENCE).toBeGreaterThan(0)
          const follower = run(context, world.env)
          await expect.poll(() => countLeaseHeld(follower), PATIENCE).toBeGreaterThan(0)
          holder.kill('SIGKILL')
          expect(await holder.exited).toBe(null)
          world.t.simulator.faults.clear()
          const before = await countSessions(world)
          expect(before % 100).toBe(0)
          expect(before).toBeLessThan(all)

          // While it runs, the other one waits.
          const heldBefore = countLeaseHeld(follower)
          await expect
            .poll(() => countLeaseHeld(follower), PATIENCE)
            .toBeGreaterThan(heldBefore + 1)
          expect(await countSessions(world)).toBe(before)
          const lease = await readLease(world)
          expect(lease.owner).toEqual(expect.any(String))
          expect(lease.leftMs).toBeGreaterThan(0)
          expect(lease.leftMs).toBeLessThanOrEqual(LEASE_MS)

          // The rest of its 30 s.
          await endLease(world.database)
          const endedAt = performance.now()
          await expect.poll(() => countSessions(world), PATIENCE).toBeGreaterThan(before)
          const takenMs = performance.now() - endedAt
          // An interval, and what a busy machine needs.
          expect(takenMs).toBeLessThan(INTERVAL_MS + 5_000)
          await expect.poll(() => countSessions(world), PATIENCE).toBe(all)
          expect(await readRows(world.database)).toEqual(truth(world))
          follower.kill('SIGTERM')
          expect(await follower.exited).toBe(0)
          await annotate(`taken over ${Math.round(takenMs)} ms after the lease had run out`)
        },
      )
    },
  )
})
