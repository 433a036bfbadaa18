import { pino } from 'pino'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/config.js'
import { createService, type Service } from '../../src/service/service.js'
import { buildEntry } from '../../src/simulator/entries.js'
import * as faults from '../../src/simulator/faults.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { startRedis } from '../_support/redis.js'
import { readRows, readUserIds } from '../_support/store.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'
import { WAIT } from '../_support/wait.js'

const redis = await startRedis()
const skip = 'skip' in redis
afterAll(() => ('skip' in redis ? undefined : redis.stop()))

let database: TestDatabase
let t: TestTenant
/** The Redis database of the current test. Each test uses another one, because a worker leaves its schedule there. */
let keyspace = 0
beforeEach(async () => {
  keyspace += 1
  database = await createTestDatabase()
  t = await openTenant()
})
afterEach(async () => {
  await t.close()
  await database.drop()
})

const openService = (
  overrides: Record<string, string> = {},
  lines: string[] = [],
): Promise<Service> =>
  createService(
    loadConfig(
      {
        ...tenantEnv(t.simulator),
        DATABASE_URL: database.url,
        POLL_INTERVAL: '200ms',
        ...overrides,
      },
      ['auth0', 'database'],
    ),
    pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) }),
  )

const logout = (userId: string) =>
  void t.tenant.write(buildEntry('slo', { userId, sessionId: userId }))
const readUsers = () => readUserIds(database)

describe.each([
  { name: 'the same PostgreSQL', readEnv: () => ({}), skip: false },
  {
    name: skip ? `Redis (skipped: ${redis.skip})` : 'Redis',
    readEnv: () => (skip ? {} : { REDIS_URL: `${redis.url}/${keyspace}` }),
    skip,
  },
])('a worker with its schedule on $name', ({ readEnv, skip }) => {
  test.skipIf(skip)('a worker polls repeatedly', async () => {
    const service = await openService(readEnv())
    await service.startWorker()
    logout('auth0|1')
    await expect.poll(readUsers, WAIT).toEqual(['auth0|1'])
    logout('auth0|2')
    await expect.poll(readUsers, WAIT).toEqual(['auth0|1', 'auth0|2'])
    await service.close()
  })

  test.skipIf(skip)(
    'a worker stores entries that became visible late, and prunes old sessions',
    async () => {
      const oldInstant = new Date(Date.now() - 61 * 86_400_000)
      await database.query(
        `INSERT INTO session_logout (session_id, at, ended, log_id, type, seq)
       VALUES ('old', $1, true, '', 'slo', 1)`,
        [oldInstant],
      )
      logout('auth0|1')
      const service = await openService({ ...readEnv(), RECONCILE_INTERVAL: '300ms' })
      // A worker prunes nothing before it has read the log to its end.
      await service.store.storeCaughtUp(null, Date.now())
      await service.startWorker()
      await expect.poll(readUsers, WAIT).toEqual(['auth0|1'])
      t.tenant.write(buildEntry('slo', { userId: 'auth0|late', sessionId: 'late' }), {
        dateMs: Date.now() - 120_000,
      })
      await expect.poll(readUsers, WAIT).toEqual(['auth0|1', 'auth0|late'])
      const readSessions = async () =>
        (await readRows(database)).sessions.map(({ sessionId }) => sessionId)
      await expect.poll(readSessions, WAIT).toEqual(['auth0|1', 'late'])
      await service.close()
    },
  )

  test.skipIf(skip)('several workers of one tenant store every row', async () => {
    const services = await Promise.all([
      openService(readEnv()),
      openService(readEnv()),
      openService(readEnv()),
    ])
    await Promise.all(services.map((service) => service.startWorker()))
    const users = Array.from({ length: 30 }, (_, n) => `auth0|${100 + n}`)
    for (const user of users) logout(user)
    await expect.poll(readUsers, WAIT).toEqual(users)
    await Promise.all(services.map((service) => service.close()))
  })

  test.skipIf(skip)(
    'a worker continues after failed polls, and logs the cause without the secret',
    async () => {
      const lines: string[] = []
      const service = await openService(readEnv(), lines)
      t.simulator.faults.push({
        path: '/oauth/token',
        times: 3,
        respond: faults.respondWith(401, {}),
      })
      await service.startWorker()
      logout('auth0|1')
      await expect.poll(readUsers, WAIT).toEqual(['auth0|1'])
      await service.close()
      expect(lines.join()).toContain('AUTH0_CREDENTIALS')
      expect(lines.join()).not.toContain(t.simulator.credentials.clientSecret)
    },
  )
})

test('a worker that is closed while reading the log stores the current page, and the next worker continues', async () => {
  const users = Array.from({ length: 3_000 }, (_, n) => `auth0|${10_000 + n}`)
  for (const user of users) logout(user)
  const first = await openService()
  await first.startWorker()
  await expect
    .poll(async () => (await readUsers()).length, { ...WAIT, interval: 1 })
    .toBeGreaterThan(0)
  await first.close()
  const storedCount = (await readUsers()).length
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
