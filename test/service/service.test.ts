import { Redis } from 'ioredis'
import { pino } from 'pino'
import { afterAll, afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { loadConfig } from '../../src/config/config.js'
import { createService, type Service } from '../../src/service/service.js'
import { buildEntry } from '../../src/simulator/entries.js'
import * as faults from '../../src/simulator/faults.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { startRedis } from '../_support/redis.js'
import { readRows, readUserIds } from '../_support/store.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'
import { WAIT } from '../_support/wait.js'

/** The Redis server, or the reason why the tests with Redis are skipped. */
const redis = await startRedis()
const skip = 'skip' in redis
afterAll(() => ('skip' in redis ? undefined : redis.stop()))

let database: TestDatabase
let testTenant: TestTenant
/** The number of the Redis database of the current test. A worker leaves its schedule there, so no test shares it. */
let redisDatabase = 0
beforeEach(async () => {
  redisDatabase += 1
  database = await createTestDatabase()
  testTenant = await openTenant()
})
afterEach(async () => {
  await testTenant.close()
  await database.drop()
})

/** Opens a service with these variables. The service adds its log lines to `logLines`. */
const openService = (
  overrides: Record<string, string> = {},
  logLines: string[] = [],
): Promise<Service> =>
  createService(
    loadConfig(
      {
        ...tenantEnv(testTenant.simulator),
        DATABASE_URL: database.url,
        POLL_INTERVAL: '200ms',
        ...overrides,
      },
      ['auth0', 'database'],
    ),
    pino({ level: 'debug' }, { write: (line: string) => void logLines.push(line) }),
  )

/** Writes a logout of the user to the log of the tenant. */
const logOut = (userId: string) =>
  void testTenant.tenant.write(buildEntry('slo', { userId, sessionId: userId }))
const readUsers = () => readUserIds(database)
const DAY_MS = 86_400_000

test.skipIf(skip)(
  'two databases of one tenant on one Redis have a schedule each, which a restart keeps',
  async () => {
    const otherDatabase = await createTestDatabase()
    onTestFinished(otherDatabase.drop)
    const readEnv = (env: Record<string, string>) =>
      skip ? env : { REDIS_URL: `${redis.url}/${redisDatabase}`, ...env }
    const service = await openService(readEnv({}))
    await service.startWorker()
    for (let start = 0; start < 2; start++) {
      const otherService = await openService(
        readEnv({ DATABASE_URL: otherDatabase.url, POLL_INTERVAL: '10m' }),
      )
      await otherService.startWorker()
      await otherService.close()
    }
    expect(await readQueueNames()).toHaveLength(2)
    // The interval and the worker of the other database do not delay the polls.
    logOut('auth0|1')
    await expect.poll(readUsers, WAIT).toEqual(['auth0|1'])
    await service.close()
  },
)

/** Returns the names of the queues in the Redis database of the current test. */
async function readQueueNames(): Promise<string[]> {
  if ('skip' in redis) return []
  const client = new Redis(`${redis.url}/${redisDatabase}`)
  const keys = await client.keys('*:repeat')
  await client.quit()
  return keys
}

describe.each([
  { name: 'the same PostgreSQL', readEnv: () => ({}), skip: false },
  {
    name: skip ? `Redis (skipped: ${redis.skip})` : 'Redis',
    readEnv: () => (skip ? {} : { REDIS_URL: `${redis.url}/${redisDatabase}` }),
    skip,
  },
])('a worker with its schedule on $name', ({ readEnv, skip }) => {
  test.skipIf(skip)('a worker polls repeatedly', async () => {
    const service = await openService(readEnv())
    await service.startWorker()
    logOut('auth0|1')
    await expect.poll(readUsers, WAIT).toEqual(['auth0|1'])
    logOut('auth0|2')
    await expect.poll(readUsers, WAIT).toEqual(['auth0|1', 'auth0|2'])
    await service.close()
  })

  test.skipIf(skip)(
    'a worker stores entries that became visible late, and prunes old sessions',
    async () => {
      const oldInstant = new Date(Date.now() - 61 * DAY_MS)
      await database.query(
        `INSERT INTO session_logout (session_id, at, ended, log_id, type, seq)
       VALUES ('old', $1, true, '', 'slo', 1)`,
        [oldInstant],
      )
      logOut('auth0|1')
      const service = await openService({ ...readEnv(), RECONCILE_INTERVAL: '300ms' })
      // A worker prunes nothing before it has read the log to its end.
      await service.store.storeCaughtUp(null, Date.now())
      await service.startWorker()
      await expect.poll(readUsers, WAIT).toEqual(['auth0|1'])
      testTenant.tenant.write(buildEntry('slo', { userId: 'auth0|late', sessionId: 'late' }), {
        dateMs: Date.now() - 120_000,
      })
      await expect.poll(readUsers, WAIT).toEqual(['auth0|1', 'auth0|late'])
      const readSessions = async () =>
        (await readRows(database)).sessions.map(({ sessionId }) => sessionId)
      await expect.poll(readSessions, WAIT).toEqual(['auth0|1', 'late'])
      await service.close()
    },
  )

  test.skipIf(skip)('several workers of one tenant store every logout', async () => {
    const services = await Promise.all([
      openService(readEnv()),
      openService(readEnv()),
      openService(readEnv()),
    ])
    await Promise.all(services.map((service) => service.startWorker()))
    const users = Array.from({ length: 30 }, (_, n) => `auth0|${100 + n}`)
    for (const user of users) logOut(user)
    await expect.poll(readUsers, WAIT).toEqual(users)
    await Promise.all(services.map((service) => service.close()))
  })

  test.skipIf(skip)(
    'a worker continues after failed polls, and logs the cause without the secret',
    async () => {
      const logLines: string[] = []
      const service = await openService(readEnv(), logLines)
      testTenant.simulator.faults.push({
        path: '/oauth/token',
        times: 3,
        respond: faults.respondWith(401, {}),
      })
      await service.startWorker()
      logOut('auth0|1')
      await expect.poll(readUsers, WAIT).toEqual(['auth0|1'])
      await service.close()
      expect(logLines.join()).toContain('AUTH0_CREDENTIALS')
      expect(logLines.join()).not.toContain(testTenant.simulator.credentials.clientSecret)
    },
  )
})

test('a worker that is closed while it reads the log stores the current page, and the next worker continues', async () => {
  const users = Array.from({ length: 3_000 }, (_, n) => `auth0|${10_000 + n}`)
  for (const user of users) logOut(user)
  const first = await openService()
  await first.startWorker()
  await expect
    .poll(async () => (await readUsers()).length, { ...WAIT, interval: 1 })
    .toBeGreaterThan(0)
  await first.close()
  const storedCount = (await readUsers()).length
  // A page of the log has 100 entries, and no page is stored in part.
  expect(storedCount % 100).toBe(0)
  expect(storedCount).toBeLessThan(users.length)
  const second = await openService()
  await second.startWorker()
  await expect.poll(readUsers, WAIT).toEqual(users)
  await second.close()
})

test('a service can be closed twice', async () => {
  const service = await openService()
  await Promise.all([service.close(), service.close()])
})
