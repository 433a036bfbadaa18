import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer } from 'node:net'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { withClient } from '../../src/pg/client.js'
import { receivesNotifications } from '../../src/pg/notifications.js'
import type { LastLogoutStore } from '../../src/ports.js'
import { createDatabase } from '../../src/store/database.js'
import { createLastLogoutStore } from '../../src/store/last-logout-store.js'
import { finishCommandLine, startCommandLine } from '../_support/command-line.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { subscribeToFeed } from '../_support/events.js'
import { type PgBouncer, startPgBouncer } from '../_support/pgbouncer.js'
import { startRedis } from '../_support/redis.js'
import { type RunningService, runService } from '../_support/running-service.js'
import { KEY } from '../_support/served-api.js'
import { DOMAIN, openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'
import { WAIT } from '../_support/wait.js'
import { isRefusedIn, worksIn } from './compatibility.js'

type Settings = NonNullable<Parameters<typeof startPgBouncer>[1]>

/**
 * Settings of PgBouncer that many installations use. PgBouncer then ignores startup parameters that it does not
 * support.
 */
const IGNORE_STARTUP_PARAMETERS: Settings = {
  ignore_startup_parameters: 'extra_float_digits,options',
}

/** The remedy without its first letter, which is upper case in one message and lower case in the other. */
const SET_DIRECT_URL =
  'et DATABASE_DIRECT_URL to the PostgreSQL server itself, without a pooler in between'
const noQueueMessage = (reason: string) =>
  `the job queue cannot run through a connection pooler such as PgBouncer: ${reason}. S${SET_DIRECT_URL}`
const NO_TRANSACTIONS_MESSAGE = `DATABASE_URL leads to a connection pooler that allows no transactions (PgBouncer: pool_mode = statement). Use transaction or session pooling there, and s${SET_DIRECT_URL}`

const POOLERS: { name: string; settings: Settings; message: string }[] = [
  {
    name: 'session pooling',
    settings: { pool_mode: 'session' },
    message: noQueueMessage('it refuses startup options'),
  },
  {
    name: 'session pooling that ignores startup parameters',
    settings: { pool_mode: 'session', ...IGNORE_STARTUP_PARAMETERS },
    message: noQueueMessage('it ignores startup options'),
  },
  {
    name: 'transaction pooling',
    settings: { pool_mode: 'transaction' },
    message: noQueueMessage('it refuses startup options'),
  },
  {
    name: 'transaction pooling that ignores startup parameters',
    settings: { pool_mode: 'transaction', ...IGNORE_STARTUP_PARAMETERS },
    message: noQueueMessage('it ignores startup options'),
  },
  {
    name: 'statement pooling',
    settings: { pool_mode: 'statement' },
    message: NO_TRANSACTIONS_MESSAGE,
  },
]

let testTenant: TestTenant
let database: TestDatabase
beforeAll(async () => {
  testTenant = await openTenant()
  database = await createTestDatabase()
})
afterAll(async () => {
  await testTenant.close()
  await database.drop()
})

const commandEnv = (variables: Record<string, string>) => ({
  ...tenantEnv(testTenant.simulator),
  API_KEYS: `test:${KEY}:read+feed+logout`,
  PORT: '0',
  ...variables,
})

const openPooler = async (settings: Settings, url = database.url): Promise<PgBouncer> => {
  const pooler = await startPgBouncer(url, settings)
  onTestFinished(pooler.close)
  return pooler
}

const openService = async (variables: Record<string, string>): Promise<RunningService> => {
  const service = await runService(variables)
  onTestFinished(service.close)
  return service
}

async function runDoctor(variables: Record<string, string>) {
  const { stdout } = await finishCommandLine(['doctor', '--json'], commandEnv(variables))
  const { checks } = JSON.parse(stdout) as { checks: { name: string }[] }
  return (name: string) => checks.find((check) => check.name === name)
}

describe.each(POOLERS)('behind $name', ({ settings, message }) => {
  test.each(['start', 'worker'])(
    '%s exits with 2 and names DATABASE_DIRECT_URL',
    isRefusedIn(
      'PostgreSQL poolers and replicas',
      'PgBouncer in any mode without `DATABASE_DIRECT_URL`, and the queue in PostgreSQL',
      'exit code 2, and `doctor` reports the same',
    ),
    async (name) => {
      const pooler = await openPooler(settings)
      const command = startCommandLine([name], commandEnv({ DATABASE_URL: pooler.url }))
      onTestFinished(command.stop)
      expect(await command.ended).toBe(2)
      expect(command.stderr()).toBe(`last-logout: ${message}\n`)
    },
  )

  test('doctor reports the same problem as the commands', async () => {
    const pooler = await openPooler(settings)
    const find = await runDoctor({ DATABASE_URL: pooler.url })
    expect([find('database'), find('queue')]).toContainEqual(
      expect.objectContaining({ status: 'failure', message }),
    )
  })
})

test(
  'worker refuses a DATABASE_DIRECT_URL that leads to a pooler',
  isRefusedIn(
    'PostgreSQL poolers and replicas',
    '`DATABASE_DIRECT_URL` that leads to a pooler',
    'exit code 2',
  ),
  async () => {
    const pooler = await openPooler({ pool_mode: 'session' })
    const variables = { DATABASE_URL: database.url, DATABASE_DIRECT_URL: pooler.url }
    const { code, stderr } = await finishCommandLine(['worker'], commandEnv(variables))
    expect([code, stderr]).toEqual([
      2,
      `last-logout: ${noQueueMessage('it refuses startup options')}\n`,
    ])
  },
)

test.each(['session', 'transaction'] as const)(
  '%s pooling works with DATABASE_DIRECT_URL, and doctor reports no problem',
  worksIn(
    'PostgreSQL poolers and replicas',
    'PgBouncer with session or transaction pooling',
    'with `DATABASE_DIRECT_URL`',
  ),
  async (pool_mode) => {
    const pooler = await openPooler({ pool_mode })
    const variables = { DATABASE_URL: pooler.url, DATABASE_DIRECT_URL: database.url }
    const service = await openService(variables)
    service.logout(`auth0|${pool_mode}`)
    await service.waitForLogout(`auth0|${pool_mode}`)
    expect(service.countLines('warn', /./)).toBe(0)
    const find = await runDoctor(variables)
    for (const name of ['database', 'direct database', 'queue', 'notifications']) {
      expect(find(name)).toMatchObject({ status: 'ok' })
    }
  },
)

describe('with the queue on Redis', () => {
  const openFeed = async (pool_mode: 'session' | 'transaction') => {
    const redis = await startRedis()
    if ('skip' in redis) throw new Error(redis.skip)
    onTestFinished(() => redis.stop())
    const pooler = await openPooler({ pool_mode })
    const variables = { DATABASE_URL: pooler.url, REDIS_URL: redis.url }
    const service = await openService(variables)
    const feed = await subscribeToFeed(service.url)
    onTestFinished(feed.close)
    await expect.poll(() => feed.dataOf('freshness').length, WAIT).toBeGreaterThan(0)
    /** Reports a logout. Returns the time until the feed contains the logout, in milliseconds. */
    const measureDelay = async (userId: string) => {
      const startedAt = performance.now()
      expect(await service.reportLogout(userId)).toBe(200)
      const users = () => feed.dataOf('change').map(({ user_id }) => user_id)
      await expect.poll(users, { timeout: 10_000, interval: 5 }).toContain(userId)
      return performance.now() - startedAt
    }
    return { service, variables, measureDelay }
  }

  test(
    'the service receives notifications through session pooling, and logs no warning',
    worksIn(
      'PostgreSQL poolers and replicas',
      'PgBouncer with session pooling, and the queue in Redis',
    ),
    async ({ annotate }) => {
      const { service, variables, measureDelay } = await openFeed('session')
      await annotate(
        `the feed shows a logout after ${Math.round(await measureDelay('auth0|session'))} ms`,
      )
      expect(service.countLines('warn', /./)).toBe(0)
      const find = await runDoctor(variables)
      expect(find('notifications')).toMatchObject({ status: 'ok' })
    },
  )

  test(
    'the service receives no notifications through transaction pooling, so the feed polls, and the log and doctor report it',
    worksIn(
      'PostgreSQL poolers and replicas',
      'PgBouncer with transaction pooling, and the queue in Redis',
      'the change feed polls every second; set `DATABASE_DIRECT_URL` for notifications',
    ),
    async ({ annotate }) => {
      const { service, variables, measureDelay } = await openFeed('transaction')
      await expect
        .poll(() => service.countLines('warn', /^notifications not received/), WAIT)
        .toBe(1)
      const delays: number[] = []
      for (let n = 0; n < 5; n++)
        delays.push(Math.round(await measureDelay(`auth0|transaction ${n}`)))
      await annotate(`the feed shows a logout after ${delays.join(', ')} ms`)
      // Without polls, the feed would contain the logout only at its next heartbeat, up to 4 s later.
      expect(Math.max(...delays)).toBeLessThan(2_000)
      const find = await runDoctor(variables)
      expect(find('notifications')).toMatchObject({
        status: 'warning',
        message: expect.stringMatching(
          /^not received, since a connection pooler is in between: .* is 0 % full$/,
        ),
        advice: 'set DATABASE_DIRECT_URL to the PostgreSQL server itself',
      })
    },
  )
})

test('reads through transaction pooling without support for prepared statements return the right rows, and the log reports the pooler', async () => {
  const pooler = await openPooler({ pool_mode: 'transaction', default_pool_size: 3 })
  const lines: string[] = []
  const log = pino({ level: 'info' }, { write: (line) => void lines.push(line) })
  const databases = [createDatabase(pooler.url, log), createDatabase(pooler.url, log)]
  const stores = databases.map((database) =>
    createLastLogoutStore({ database, domain: DOMAIN, horizonMs: 0 }),
  )
  onTestFinished(() => Promise.all(databases.map(({ close }) => close())).then(() => {}))
  const userIds = Array.from({ length: 100 }, (_, n) => `auth0|prepared-${n}`)
  const reportAll = (store: LastLogoutStore, at: number) =>
    Promise.all(
      userIds.map((userId, n) =>
        store.storeReported({ userId, sessionId: null, at: at + n, type: 'reported_logout' }),
      ),
    )
  const expected = await reportAll(stores[0] as LastLogoutStore, 1_000_000_000_000)
  for (let round = 0; round < 10; round++) {
    // A transaction occupies a connection, so that each read uses another connection than the previous read.
    const reports = stores.map((store) => reportAll(store, 1_000_000_000_000))
    for (const store of stores) {
      const reads = await Promise.all(userIds.map((userId) => store.readKnownLogouts(userId, null)))
      expect(reads.map(({ user }) => user?.at)).toEqual(expected)
    }
    await Promise.all(reports)
  }
  const messages = lines.map((line) => (JSON.parse(line) as { msg: string }).msg)
  expect(new Set(messages)).toEqual(new Set(['prepared statements not kept by the pooler']))
  expect(messages.length).toBeLessThanOrEqual(databases.length)
})

describe('the check of notifications', () => {
  test('receivesNotifications returns true on a direct connection, even if the notification arrives after the wait', async () => {
    const serverSocket = await openSlowProxy(database.url, 60)
    onTestFinished(serverSocket.close)
    const hasReceived = withClient(serverSocket.url, (client) =>
      receivesNotifications(client, database.url, 1),
    )
    expect(await hasReceived).toBe(true)
  })

  test('receivesNotifications returns false behind transaction pooling, even if other clients use the pooler', async () => {
    const { url } = await openPooler({ pool_mode: 'transaction', default_pool_size: 3 })
    let isDone = false
    const load = Array.from({ length: 6 }, () =>
      withClient(url, async (client) => {
        while (!isDone) await client.query('SELECT pg_sleep(0.002)')
      }),
    )
    for (let n = 0; n < 5; n++) {
      const hasReceived = withClient(url, (client) => receivesNotifications(client, url))
      expect(await hasReceived).toBe(false)
    }
    isDone = true
    await Promise.all(load)
  })
})

/** Opens a proxy that delays all data. */
async function openSlowProxy(target: string, delayMs: number) {
  const url = new URL(target)
  const { hostname, port } = url
  const server = createServer((clientSocket) => {
    const serverSocket = connect({ host: hostname, port: Number(port) })
    for (const [from, to] of [
      [clientSocket, serverSocket],
      [serverSocket, clientSocket],
    ] as const) {
      from.on('data', (chunk) => void setTimeout(() => to.write(chunk), delayMs))
      from.on('error', () => {})
      from.on('close', () => to.destroy())
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  url.port = `${(server.address() as AddressInfo).port}`
  return { url: url.href, close: async () => void server.close() }
}
