import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { withClient } from '../../src/pg/client.js'
import { receivesNotifications } from '../../src/pg/notifications.js'
import { finishCommandLine, startCommandLine } from '../_support/command-line.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { subscribeToFeed } from '../_support/events.js'
import { type PgBouncer, startPgBouncer } from '../_support/pgbouncer.js'
import { startRedis } from '../_support/redis.js'
import { type RunningService, runService } from '../_support/running-service.js'
import { KEY } from '../_support/served-api.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'
import { WAIT } from '../_support/wait.js'
import { refuses, works } from './compatibility.js'

type Settings = NonNullable<Parameters<typeof startPgBouncer>[1]>

/** Many have PgBouncer ignore the startup parameters that it does not support. */
const IGNORING: Settings = { ignore_startup_parameters: 'extra_float_digits,options' }

const DIRECT_URL =
  'et DATABASE_DIRECT_URL to the PostgreSQL server itself, without a pooler in between'
const noQueue = (reason: string) =>
  `the job queue cannot run through a connection pooler such as PgBouncer: ${reason}. S${DIRECT_URL}`
const NO_TRANSACTIONS = `DATABASE_URL leads to a connection pooler that allows no transactions (PgBouncer: pool_mode = statement). Use transaction or session pooling there, and s${DIRECT_URL}`

const POOLERS: { name: string; settings: Settings; message: string }[] = [
  {
    name: 'session pooling',
    settings: { pool_mode: 'session' },
    message: noQueue('it refuses startup options'),
  },
  {
    name: 'session pooling that ignores startup parameters',
    settings: { pool_mode: 'session', ...IGNORING },
    message: noQueue('it ignores startup options'),
  },
  {
    name: 'transaction pooling',
    settings: { pool_mode: 'transaction' },
    message: noQueue('it refuses startup options'),
  },
  {
    name: 'transaction pooling that ignores startup parameters',
    settings: { pool_mode: 'transaction', ...IGNORING },
    message: noQueue('it ignores startup options'),
  },
  { name: 'statement pooling', settings: { pool_mode: 'statement' }, message: NO_TRANSACTIONS },
]

let t: TestTenant
let database: TestDatabase
beforeAll(async () => {
  t = await openTenant()
  database = await createTestDatabase()
})
afterAll(async () => {
  await t.close()
  await database.drop()
})

const env = (variables: Record<string, string>) => ({
  ...tenantEnv(t.simulator),
  API_KEYS: `test:${KEY}:read+feed+logout`,
  PORT: '0',
  ...variables,
})

const open = async (settings: Settings, url = database.url): Promise<PgBouncer> => {
  const pooler = await startPgBouncer(url, settings)
  onTestFinished(pooler.close)
  return pooler
}

const run = async (variables: Record<string, string>): Promise<RunningService> => {
  const service = await runService(variables)
  onTestFinished(service.close)
  return service
}

async function doctor(variables: Record<string, string>) {
  const { stdout } = await finishCommandLine(['doctor', '--json'], env(variables))
  const { checks } = JSON.parse(stdout) as { checks: { name: string }[] }
  return (name: string) => checks.find((check) => check.name === name)
}

describe.each(POOLERS)('behind $name', ({ settings, message }) => {
  test.each(['start', 'worker'])(
    '%s exits with 2 and names DATABASE_DIRECT_URL',
    refuses(
      'PostgreSQL poolers and replicas',
      'PgBouncer in any mode without `DATABASE_DIRECT_URL`, and the queue in PostgreSQL',
      'exit code 2, and `doctor` reports the same',
    ),
    async (name) => {
      const pooler = await open(settings)
      const command = startCommandLine([name], env({ DATABASE_URL: pooler.url }))
      onTestFinished(command.stop)
      expect(await command.ended).toBe(2)
      expect(command.stderr()).toBe(`last-logout: ${message}\n`)
    },
  )

  test('doctor reports the same', async () => {
    const pooler = await open(settings)
    const find = await doctor({ DATABASE_URL: pooler.url })
    expect([find('database'), find('queue')]).toContainEqual(
      expect.objectContaining({ status: 'failure', message }),
    )
  })
})

test(
  'DATABASE_DIRECT_URL that leads to a pooler is refused too',
  refuses(
    'PostgreSQL poolers and replicas',
    '`DATABASE_DIRECT_URL` that leads to a pooler',
    'exit code 2',
  ),
  async () => {
    const pooler = await open({ pool_mode: 'session' })
    const variables = { DATABASE_URL: database.url, DATABASE_DIRECT_URL: pooler.url }
    const { code, stderr } = await finishCommandLine(['worker'], env(variables))
    expect([code, stderr]).toEqual([2, `last-logout: ${noQueue('it refuses startup options')}\n`])
  },
)

test.each(['session', 'transaction'] as const)(
  '%s pooling works with DATABASE_DIRECT_URL, and doctor finds nothing wrong',
  works(
    'PostgreSQL poolers and replicas',
    'PgBouncer with session or transaction pooling',
    'with `DATABASE_DIRECT_URL`',
  ),
  async (pool_mode) => {
    const pooler = await open({ pool_mode })
    const variables = { DATABASE_URL: pooler.url, DATABASE_DIRECT_URL: database.url }
    const service = await run(variables)
    service.logout(`auth0|${pool_mode}`)
    await service.waitForLogout(`auth0|${pool_mode}`)
    expect(service.countLines('warn', /./)).toBe(0)
    const find = await doctor(variables)
    for (const name of ['database', 'direct database', 'queue', 'notifications']) {
      expect(find(name)).toMatchObject({ status: 'ok' })
    }
  },
)

describe('with the queue on Redis', () => {
  const start = async (pool_mode: 'session' | 'transaction') => {
    const redis = await startRedis()
    if ('skip' in redis) throw new Error(redis.skip)
    onTestFinished(() => redis.stop())
    const pooler = await open({ pool_mode })
    const variables = { DATABASE_URL: pooler.url, REDIS_URL: redis.url }
    const service = await run(variables)
    const feed = await subscribeToFeed(service.url)
    onTestFinished(feed.close)
    await expect.poll(() => feed.dataOf('freshness').length, WAIT).toBeGreaterThan(0)
    /** Resolves to how long the feed takes to show a reported logout, in milliseconds. */
    const delay = async (userId: string) => {
      const startedAt = performance.now()
      expect(await service.reportLogout(userId)).toBe(200)
      const users = () => feed.dataOf('change').map(({ user_id }) => user_id)
      await expect.poll(users, { timeout: 10_000, interval: 5 }).toContain(userId)
      return performance.now() - startedAt
    }
    return { service, variables, delay }
  }

  test(
    'session pooling delivers notifications, without a warning',
    works(
      'PostgreSQL poolers and replicas',
      'PgBouncer with session pooling, and the queue in Redis',
    ),
    async ({ annotate }) => {
      const { service, variables, delay } = await start('session')
      await annotate(`the feed shows a logout after ${Math.round(await delay('auth0|session'))} ms`)
      expect(service.countLines('warn', /./)).toBe(0)
      const find = await doctor(variables)
      expect(find('notifications')).toMatchObject({ status: 'ok' })
    },
  )

  test(
    'transaction pooling does not: the feed polls, and log and doctor report it once',
    works(
      'PostgreSQL poolers and replicas',
      'PgBouncer with transaction pooling, and the queue in Redis',
      'the change feed polls every second; set `DATABASE_DIRECT_URL` for notifications',
    ),
    async ({ annotate }) => {
      const { service, variables, delay } = await start('transaction')
      await expect
        .poll(() => service.countLines('warn', /^notifications not received/), WAIT)
        .toBe(1)
      const delays: number[] = []
      for (let n = 0; n < 5; n++) delays.push(Math.round(await delay(`auth0|transaction ${n}`)))
      await annotate(`the feed shows a logout after ${delays.join(', ')} ms`)
      // Without polling the next heartbeat shows it, up to 4 s later.
      expect(Math.max(...delays)).toBeLessThan(2_000)
      const find = await doctor(variables)
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

describe('the check of notifications', () => {
  test('passes on a direct connection that is slower than it waits', async () => {
    const far = await openSlowProxy(database.url, 60)
    onTestFinished(far.close)
    const received = withClient(far.url, (client) => receivesNotifications(client, database.url, 1))
    expect(await received).toBe(true)
  })

  test('fails behind transaction pooling, whatever other clients do meanwhile', async () => {
    const { url } = await open({ pool_mode: 'transaction', default_pool_size: 3 })
    let isOver = false
    const load = Array.from({ length: 6 }, () =>
      withClient(url, async (client) => {
        while (!isOver) await client.query('SELECT pg_sleep(0.002)')
      }),
    )
    for (let n = 0; n < 5; n++) {
      const received = withClient(url, (client) => receivesNotifications(client, url))
      expect(await received).toBe(false)
    }
    isOver = true
    await Promise.all(load)
  })
})

/** Opens a proxy that forwards everything late. */
async function openSlowProxy(target: string, delayMs: number) {
  const url = new URL(target)
  const { hostname, port } = url
  const server = createServer((near) => {
    const far = connect({ host: hostname, port: Number(port) })
    for (const [from, to] of [
      [near, far],
      [far, near],
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
