import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createQueuePool } from '../../src/jobs/postgres.js'
import { schemaOf } from '../../src/pg/connection.js'
import { finishCommandLine } from '../_support/command-line.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { startPgBouncer } from '../_support/pgbouncer.js'
import { type RunningService, runService } from '../_support/running-service.js'
import { KEY } from '../_support/served-api.js'
import { openTenant, tenantEnv } from '../_support/tenant.js'
import { WAIT } from '../_support/wait.js'
import { listedAsRefused, listedAsWorking } from './compatibility.js'
import { createOwnedDatabase, withSchema } from './roles.js'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function createDatabase(): Promise<TestDatabase> {
  const database = await createTestDatabase('template0')
  closers.push(database.drop)
  return database
}

async function migrate(env: Record<string, string>): Promise<void> {
  const { code, stderr } = await finishCommandLine(['migrate'], {
    AUTH0_DOMAIN: 'tenant.example',
    ...env,
  })
  if (code !== 0) throw new Error(stderr)
}

/** Migrates the database, and starts a worker and an API. */
async function startService(env: Record<string, string>): Promise<RunningService> {
  await migrate(env)
  const service = await runService(env)
  closers.push(service.close)
  return service
}

/**
 * Expects that the service returns a logout of the log, accepts a reported logout, and logs no error and no warning about
 * the queue.
 */
async function expectToWork(service: RunningService, userId: string): Promise<void> {
  service.logout(userId)
  await service.waitForLogout(userId)
  expect(await service.reportLogout(`${userId}-reported`)).toBe(200)
  const anyMessage = /./
  expect(service.countLines('error', anyMessage)).toBe(0)
  expect(service.countLines('warn', /queue/)).toBe(0)
}

/** Runs `doctor`. Returns the statuses of the checks that use the database, by name. */
async function runDoctor(env: Record<string, string>): Promise<Record<string, string>> {
  const testTenant = await openTenant()
  try {
    const { stdout } = await finishCommandLine(['doctor', '--json'], {
      ...tenantEnv(testTenant.simulator),
      ...env,
    })
    const { checks } = JSON.parse(stdout) as { checks: { name: string; status: string }[] }
    const names = ['database', 'migrations', 'queue', 'privileges']
    return Object.fromEntries(
      checks.filter(({ name }) => names.includes(name)).map(({ name, status }) => [name, status]),
    )
  } finally {
    await testTenant.close()
  }
}

const ALL_OK = { database: 'ok', migrations: 'ok', queue: 'ok', privileges: 'ok' }

/** Returns the schemas that contain a table with this name. */
async function findSchemas(database: TestDatabase, table = 'last_logout'): Promise<string[]> {
  const rows = await database.query<{ schema: string }>(
    'SELECT schemaname AS schema FROM pg_tables WHERE tablename = $1 ORDER BY 1',
    [table],
  )
  return rows.map(({ schema }) => schema)
}

/** Reads the change feed, from the start or after a cursor. Returns the ids of its users without duplicates. */
async function readFeed({ url }: RunningService, after?: string) {
  const query = after === undefined ? '' : `?after=${after}`
  const response = await fetch(`${url}/v1/changes${query}`, {
    headers: { authorization: `Bearer ${KEY}` },
  })
  const body = (await response.json()) as { changes?: { user_id: string }[]; cursor: string }
  const users = new Set(body.changes?.map(({ user_id }) => user_id))
  return { status: response.status, users: [...users].sort(), cursor: body.cursor }
}

/** Returns the ids of all users with a last logout. */
const readUserIds = async (database: TestDatabase, schema: string) => {
  const rows = await database.query<{ user_id: string }>(
    `SELECT user_id FROM "${schema}".last_logout ORDER BY user_id`,
  )
  return rows.map(({ user_id }) => user_id)
}

describe('the schema of the tables', () => {
  test(
    'the tables are in public, even if the role has another search_path',
    listedAsWorking(
      'PostgreSQL',
      'a role or a database with its own `search_path`',
      'tables are in `public`, or in the schema of `?schema=`',
    ),
    async () => {
      const { database, url, drop } = await createOwnedDatabase({ search_path: 'own' })
      closers.push(drop)
      await database.query('CREATE SCHEMA own')
      // A statement with unqualified names would use these tables. It would fail, because they have no columns.
      for (const table of [
        'tenant',
        'last_logout',
        'session_logout',
        'gap',
        '_prisma_migrations',
      ]) {
        await database.query(`CREATE TABLE own.${table} ()`)
      }
      await database.query(`GRANT ALL ON SCHEMA own TO ${new URL(url).username}`)
      const service = await startService({ DATABASE_URL: url })
      await expectToWork(service, 'auth0|public')
      expect(await readUserIds(database, 'public')).toEqual([
        'auth0|public',
        'auth0|public-reported',
      ])
      expect(await runDoctor({ DATABASE_URL: url })).toEqual(ALL_OK)
    },
  )

  // The second name is valid only in quotes.
  test.each(['tenant_a', 'Ünusual name; --'])(
    'migrate creates the schema %s of DATABASE_URL, and the tables in this schema',
    async (schema) => {
      const database = await createDatabase()
      const env = { DATABASE_URL: withSchema(database.url, schema) }
      const service = await startService(env)
      await expectToWork(service, 'auth0|named')
      expect(await findSchemas(database)).toEqual([schema])
      expect(await findSchemas(database, '_prisma_migrations')).toEqual([schema])
      expect(await runDoctor(env)).toEqual(ALL_OK)
    },
  )

  test(
    'the tables behind PgBouncer are in the schema of DATABASE_URL, even if DATABASE_DIRECT_URL has no schema',
    listedAsWorking(
      'PostgreSQL poolers and replicas',
      'PgBouncer with transaction pooling and `?schema=`',
      'with `DATABASE_DIRECT_URL`',
    ),
    async () => {
      const database = await createDatabase()
      const pooler = await startPgBouncer(database.url)
      closers.push(pooler.close)
      const env = {
        DATABASE_URL: withSchema(pooler.url, 'pooled_tenant'),
        DATABASE_DIRECT_URL: database.url,
      }
      const service = await startService(env)
      await expectToWork(service, 'auth0|pooled')
      expect(await findSchemas(database)).toEqual(['pooled_tenant'])
      expect(await runDoctor(env)).toEqual(ALL_OK)
    },
  )
})

describe('two schemas of one database', () => {
  let database: TestDatabase
  const envOf = (schema: string, domain: string) => ({
    DATABASE_URL: withSchema(database.url, schema),
    AUTH0_DOMAIN: domain,
  })
  beforeEach(async () => {
    database = await createDatabase()
  })

  test(
    'two schemas serve two tenants, each with its own logouts, change feed and queue',
    listedAsWorking('PostgreSQL', 'two tenants in one database, each with its own `?schema=`'),
    async () => {
      const one = await startService(envOf('one', 'one.example'))
      const two = await startService(envOf('two', 'two.example'))
      await Promise.all([expectToWork(one, 'auth0|1'), expectToWork(two, 'auth0|2')])
      expect(await readUserIds(database, 'one')).toEqual(['auth0|1', 'auth0|1-reported'])
      expect(await readUserIds(database, 'two')).toEqual(['auth0|2', 'auth0|2-reported'])

      // A notification wakes the change feeds of all schemas, but a feed must not contain changes of another schema.
      const feedOfOne = await readFeed(one)
      const feedOfTwo = await readFeed(two)
      expect(feedOfOne.users).toEqual(['auth0|1', 'auth0|1-reported'])
      expect(feedOfTwo.users).toEqual(['auth0|2', 'auth0|2-reported'])
      // A cursor is a position in a feed. The part before the first dot identifies the feed.
      expect(feedOfOne.cursor.split('.')[0]).not.toBe(feedOfTwo.cursor.split('.')[0])
      expect(await readFeed(two, feedOfOne.cursor)).toMatchObject({ status: 410 })
    },
  )

  test('the workers of two schemas both poll if the schemas serve the same tenant', async () => {
    const one = await startService(envOf('one', 'tenant.example'))
    const two = await startService(envOf('two', 'tenant.example'))
    await expectToWork(one, 'auth0|1')
    await expectToWork(two, 'auth0|2')
    /** Returns when each worker has polled last, in seconds since the epoch. */
    const readLastPolls = async () => {
      const [lastPolls] = await database.query<{ one: number; two: number }>(
        `SELECT (SELECT extract(epoch FROM last_poll_at)::float8 FROM one.tenant) AS one,
           (SELECT extract(epoch FROM last_poll_at)::float8 FROM two.tenant) AS two`,
      )
      return lastPolls ?? { one: 0, two: 0 }
    }
    const before = await readLastPolls()
    await expect
      .poll(async () => {
        const now = await readLastPolls()
        return now.one > before.one && now.two > before.two
      }, WAIT)
      .toBe(true)
  })

  test(
    'a command refuses a schema that serves another tenant, and prints the remedy',
    listedAsRefused('PostgreSQL', 'two tenants in one schema', 'exit code 2, with what to do'),
    async () => {
      const one = await startService(envOf('one', 'one.example'))
      await expectToWork(one, 'auth0|1')
      const { code, stderr } = await finishCommandLine(['status'], envOf('one', 'two.example'))
      expect(code).toBe(2)
      expect(stderr).toMatch(/serves the tenant one.example, not two.example: .*\?schema=/)
    },
  )
})

describe('options= in DATABASE_URL', () => {
  test('the service works with a search_path in options=, which does not replace the search_path of the queue', async () => {
    const database = await createDatabase()
    const url = new URL(database.url)
    url.searchParams.set('options', '-c search_path=elsewhere -c statement_timeout=5s')
    const service = await startService({ DATABASE_URL: url.href })
    await expectToWork(service, 'auth0|options')
    expect(await runDoctor({ DATABASE_URL: url.href })).toEqual(ALL_OK)
  })

  test(
    'the options in DATABASE_URL apply to the connections of the queue, except for search_path',
    listedAsWorking('PostgreSQL', '`options=` in `DATABASE_URL`'),
    async () => {
      const database = await createDatabase()
      const url = new URL(database.url)
      // In `options=`, a backslash escapes a space.
      const optionsOfUrl = [
        '-c search_path=elsewhere',
        '--application-name=it\\ is\\ me',
        '-c statement_timeout=5s',
      ]
      url.searchParams.set('options', optionsOfUrl.join(' '))
      const pool = createQueuePool(url.href)
      closers.push(() => pool.end())
      const { rows } = await pool.query(
        `SELECT current_setting('search_path') AS path, current_setting('application_name') AS name,
         current_setting('statement_timeout') AS timeout,
         current_setting('default_transaction_isolation') AS isolation`,
      )
      // The tables of the queue are always in the schema `bullmq`.
      expect(rows).toEqual([
        { path: 'bullmq', name: 'it is me', timeout: '5s', isolation: 'read committed' },
      ])
    },
  )
})

test('schemaOf returns the parameter schema of a database URL, and public without this parameter', () => {
  expect(schemaOf('postgresql://user@host/database')).toBe('public')
  expect(schemaOf('postgresql://user@host/database?schema=tenant_a')).toBe('tenant_a')
})
