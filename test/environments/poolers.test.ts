import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer } from 'node:net'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { withClient } from '../../src/pg/client.js'
import { receivesNotifications } from '../../src/pg/notifications.js'
import type { LastLogoutStore } from '../../src/ports.js'
import { fold } from '../../src/rules/fold.js'
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
import { listedAsRefused, listedAsWorking } from './compatibility.js'

type Settings = NonNullable<Parameters<typeof startPgBouncer>[1]>

/**
 * Settings of PgBouncer that many installations use. PgBouncer then ignores these startup parameters. Otherwise, it
 * refuses connections with them.
 */
const IGNORE_STARTUP_PARAMETERS: Settings = {
  ignore_startup_parameters: 'extra_float_digits,options',
}

/** The remedy in the messages of last-logout. One of them begins a sentence with it. */
const REMEDY =
  'set DATABASE_DIRECT_URL to the PostgreSQL server itself, without a pooler in between'
const noQueueMessage = (reason: string) =>
  `the job queue cannot run through a connection pooler such as PgBouncer: ${reason}. ${REMEDY.replace('set', 'Set')}`
const NO_TRANSACTIONS_MESSAGE = `DATABASE_URL leads to a connection pooler that allows no transactions (PgBouncer: pool_mode = statement). Use transaction or session pooling there, and ${REMEDY}`

/** The modes of PgBouncer, and the message of `last-logout` if only DATABASE_URL is set, and leads to PgBouncer. */
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

/** Returns the environment of a command. `variables` contains the URLs of the database. */
const commandEnv = (variables: Record<string, string>) => ({
  ...tenantEnv(testTenant.simulator),
  API_KEYS: `test:${KEY}:read+feed+logout`,
  PORT: '0',
  ...variables,
})

/** Starts PgBouncer in front of the database, until the end of the test. */
const openPooler = async (settings: Settings): Promise<PgBouncer> => {
  const pooler = await startPgBouncer(database.url, settings)
  onTestFinished(pooler.close)
  return pooler
}

const openService = async (variables: Record<string, string>): Promise<RunningService> => {
  const service = await runService(variables)
  onTestFinished(service.close)
  return service
}

/** Runs `doctor`. Returns a function that finds one of its checks by the name. */
async function runDoctor(variables: Record<string, string>) {
  const { stdout } = await finishCommandLine(['doctor', '--json'], commandEnv(variables))
  const { checks } = JSON.parse(stdout) as { checks: { name: string }[] }
  return (name: string) => checks.find((check) => check.name === name)
}

describe.each(POOLERS)('behind $name', ({ settings, message }) => {
  test.each(['start', 'worker'])(
    '%s exits with 2 and names DATABASE_DIRECT_URL',
    listedAsRefused(
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
    const findCheck = await runDoctor({ DATABASE_URL: pooler.url })
    // Depending on the mode, the check `database` or the check `queue` reports the problem.
    expect([findCheck('database'), findCheck('queue')]).toContainEqual(
      expect.objectContaining({ status: 'failure', message }),
    )
  })
})

test(
  'worker refuses a DATABASE_DIRECT_URL that leads to a pooler',
  listedAsRefused(
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
  'the service reads a logout through %s pooling with DATABASE_DIRECT_URL, and doctor reports no problem',
  listedAsWorking(
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
    const findCheck = await runDoctor(variables)
    for (const name of ['database', 'direct database', 'queue', 'notifications']) {
      expect(findCheck(name)).toMatchObject({ status: 'ok' })
    }
  },
)

describe('with the queue on Redis', () => {
  /** Starts PgBouncer in this mode, a service behind it, and a subscription to the change feed of the service. */
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
    const measureFeedDelay = async (userId: string) => {
      const startedAt = performance.now()
      expect(await service.reportLogout(userId)).toBe(200)
      const listUsers = () => feed.dataOf('change').map(({ user_id }) => user_id)
      await expect.poll(listUsers, { timeout: 10_000, interval: 5 }).toContain(userId)
      return performance.now() - startedAt
    }
    return { service, variables, measureFeedDelay }
  }

  test(
    'the service receives notifications of PostgreSQL through session pooling, and logs no warning',
    listedAsWorking(
      'PostgreSQL poolers and replicas',
      'PgBouncer with session pooling, and the queue in Redis',
    ),
    async ({ annotate }) => {
      const { service, variables, measureFeedDelay } = await openFeed('session')
      await annotate(
        `the feed shows a logout after ${Math.round(await measureFeedDelay('auth0|session'))} ms`,
      )
      expect(service.countLines('warn', /./)).toBe(0)
      const findCheck = await runDoctor(variables)
      expect(findCheck('notifications')).toMatchObject({ status: 'ok' })
    },
  )

  test(
    'the service receives no notifications of PostgreSQL through transaction pooling, the feed polls instead, and the log and doctor report it',
    listedAsWorking(
      'PostgreSQL poolers and replicas',
      'PgBouncer with transaction pooling, and the queue in Redis',
      'the change feed polls every second; set `DATABASE_DIRECT_URL` for notifications',
    ),
    async ({ annotate }) => {
      const { service, variables, measureFeedDelay } = await openFeed('transaction')
      await expect
        .poll(() => service.countLines('warn', /^notifications not received/), WAIT)
        .toBe(1)
      const delays: number[] = []
      for (let n = 0; n < 5; n++)
        delays.push(Math.round(await measureFeedDelay(`auth0|transaction ${n}`)))
      await annotate(`the feed shows a logout after ${delays.join(', ')} ms`)
      // Without polls, the feed would contain the logout only at its next heartbeat, up to 4 s later.
      expect(Math.max(...delays)).toBeLessThan(2_000)
      const findCheck = await runDoctor(variables)
      expect(findCheck('notifications')).toMatchObject({
        status: 'warning',
        message: expect.stringMatching(
          /^not received, since a connection pooler is in between: .*; the notification queue of PostgreSQL is 0 % full$/,
        ),
        advice: 'set DATABASE_DIRECT_URL to the PostgreSQL server itself',
      })
    },
  )
})

describe('a pooler that does not support prepared statements', () => {
  const userIds = Array.from({ length: 100 }, (_, n) => `auth0|prepared-${n}`)
  const firstLogoutAt = Date.now() - 60_000

  /** Opens two stores behind the pooler, each with connections of its own, until the end of the test. */
  const openStores = async () => {
    const pooler = await openPooler({ pool_mode: 'transaction', default_pool_size: 3 })
    const messages: string[] = []
    const write = (line: string) => void messages.push((JSON.parse(line) as { msg: string }).msg)
    const log = pino({ level: 'info' }, { write })
    const databases = [createDatabase(pooler.url, log), createDatabase(pooler.url, log)]
    onTestFinished(() => Promise.all(databases.map(({ close }) => close())).then(() => {}))
    const stores = databases.map((database) =>
      // A read needs the horizon only to judge gaps in the log, which these tests do not create.
      createLastLogoutStore({ database, domain: DOMAIN, horizonMs: 0 }),
    )
    await Promise.all(stores.map((store) => store.claim()))
    return { stores, messages }
  }

  /** Stores a logout of each user, each at another instant. Returns the instants. Repetitions change nothing. */
  const reportAll = (store: LastLogoutStore) =>
    Promise.all(
      userIds.map((userId, n) =>
        store.storeReported({
          userId,
          sessionId: null,
          at: firstLogoutAt + n,
          type: 'reported_logout',
        }),
      ),
    )

  /** Expects that only the pooler was logged, and by each store at most once. */
  const expectPoolerLogged = (messages: string[], stores: LastLogoutStore[]) => {
    expect(new Set(messages)).toEqual(new Set(['prepared statements not kept by the pooler']))
    expect(messages.length).toBeLessThanOrEqual(stores.length)
  }

  test('reads through it return the right rows, and the log reports the pooler', async () => {
    const { stores, messages } = await openStores()
    const expectedInstants = await reportAll(stores[0] as LastLogoutStore)
    for (let round = 0; round < 10; round++) {
      // Transactions occupy connections of the pooler, so it forwards successive reads to different connections.
      const reports = stores.map(reportAll)
      for (const store of stores) {
        const reads = await Promise.all(
          userIds.map((userId) => store.readKnownLogouts(userId, null)),
        )
        expect(reads.map(({ user }) => user?.at)).toEqual(expectedInstants)
      }
      await Promise.all(reports)
    }
    expectPoolerLogged(messages, stores)
  })

  test('each page of the log that is stored through it is stored once, and the log reports the pooler', async () => {
    const { stores, messages } = await openStores()
    await database.query(`UPDATE tenant SET checkpoint = 'P0'`)
    const pages = Array.from({ length: 40 }, (_, n) => {
      const [userId, at] = [`auth0|page-${n}`, firstLogoutAt + n]
      const event = { logId: `P${n + 1}`, type: 'slo', at, userId, sessionId: `session ${n}` }
      const batch = { ...fold([event]), unattributable: [] }
      return { from: `P${n}`, next: `P${n + 1}`, storedAt: at, batch }
    })
    const reports = stores.map(reportAll)
    for (const [n, page] of pages.entries()) {
      // The stores take turns, as two workers do. The page of the other store is refused.
      const [store, otherStore] = n % 2 === 0 ? stores : stores.toReversed()
      expect(await store?.storePage(page)).toBe(true)
      expect(await otherStore?.storePage(page)).toBe(false)
    }
    await Promise.all(reports)
    const rows = await database.query<{ user_id: string; at: Date }>(
      `SELECT user_id, at FROM session_logout WHERE user_id LIKE 'auth0|page-%' ORDER BY at`,
    )
    expect(rows).toEqual(
      pages.map(({ batch }) => ({
        user_id: batch.sessions[0]?.userId,
        at: new Date(batch.sessions[0]?.at ?? 0),
      })),
    )
    expectPoolerLogged(messages, stores)
  })
})

describe('receivesNotifications', () => {
  test('receivesNotifications returns true on a direct connection, even if the notification arrives after the wait', async () => {
    const [delayMs, waitMs] = [60, 1]
    const slowProxy = await openSlowProxy(database.url, delayMs)
    onTestFinished(slowProxy.close)
    // The notification is sent directly to the database, and received through the slow proxy.
    const hasReceived = await withClient(slowProxy.url, (client) =>
      receivesNotifications(client, database.url, waitMs),
    )
    expect(hasReceived).toBe(true)
  })

  test('receivesNotifications returns false behind transaction pooling, even if other clients use the pooler', async () => {
    const { url } = await openPooler({ pool_mode: 'transaction', default_pool_size: 3 })
    let isDone = false
    // Twice as many clients as connections of the pooler, so that the pooler changes the connection of each client.
    const load = Array.from({ length: 6 }, () =>
      withClient(url, async (client) => {
        while (!isDone) await client.query('SELECT pg_sleep(0.002)')
      }),
    )
    for (let n = 0; n < 5; n++) {
      const hasReceived = await withClient(url, (client) => receivesNotifications(client, url))
      expect(hasReceived).toBe(false)
    }
    isDone = true
    await Promise.all(load)
  })
})

/** Opens a proxy that forwards all data with a delay. */
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
