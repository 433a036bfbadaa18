import { readFile } from 'node:fs/promises'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { finishCommandLine } from '../_support/command-line.js'
import { readExample } from '../_support/documents.js'
import { startPostgres, type TestPostgres } from '../_support/postgres.js'
import { runService } from '../_support/running-service.js'
import { openTestStore } from '../_support/store.js'
import { openTenant, tenantEnv } from '../_support/tenant.js'
import { listedAsRefused, listedAsWorking } from './compatibility.js'

/*
 * docs/database.md describes two database users: an owner who migrates, and a user who only reads and writes rows. Each
 * test creates the database `app`. A command that lacks a privilege prints the SQL that grants it. The tests run this
 * SQL, and then the command again.
 */

/** A separate server, because roles exist in the whole server, and the roles of docs/database.md have fixed names. */
let server: TestPostgres
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.remove())

/** Functions that close what a test has opened. They run after each test, in reverse order. */
const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanups.splice(0).reverse()) await cleanUp()
  await runSql('DROP DATABASE app WITH (FORCE)')
  for (const role of ['last_logout', 'last_logout_owner'])
    await runSql(`DROP ROLE IF EXISTS ${role}`)
})

/** Runs SQL. By default, a superuser runs it in another database than `app`. */
async function runSql(sql: string, url = server.url): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await client.query(sql)
  } finally {
    await client.end()
  }
}

/**
 * Returns the URL of the database `app`.
 *
 * @param options.user Default: the superuser of the server.
 * @param options.schema The schema of the tables. Default: `public`, which needs no parameter.
 */
function appUrl({ user = 'test', schema }: { user?: string; schema?: string } = {}): string {
  const url = new URL(server.url)
  url.username = user
  url.pathname = '/app'
  if (schema !== undefined) url.searchParams.set('schema', schema)
  return url.href
}

const runMigrate = (url: string) =>
  finishCommandLine(['migrate'], { AUTH0_DOMAIN: 'tenant.example', DATABASE_URL: url })
const runStatus = (url: string) =>
  finishCommandLine(['status'], { AUTH0_DOMAIN: 'tenant.example', DATABASE_URL: url })

/** Runs `worker` until it exits because of an error. */
async function runFailingWorker(url: string) {
  const testTenant = await openTenant()
  cleanups.push(testTenant.close)
  return finishCommandLine(['worker'], { ...tenantEnv(testTenant.simulator), DATABASE_URL: url })
}

/** Runs `doctor`. Returns its checks of the database that are not ok, each as a text. */
async function runDoctor(url: string): Promise<string[]> {
  const testTenant = await openTenant()
  cleanups.push(testTenant.close)
  const env = { ...tenantEnv(testTenant.simulator), DATABASE_URL: url }
  const { stdout } = await finishCommandLine(['doctor', '--json'], env)
  const { checks } = JSON.parse(stdout) as { checks: Record<string, string>[] }
  const names = ['database', 'migrations', 'queue', 'privileges']
  return checks
    .filter(({ name = '', status }) => names.includes(name) && status !== 'ok')
    .map(({ name, message, advice }) => `${name}: ${message} ${advice ?? ''}`)
}

/** Returns the GRANT statements that a message contains. */
const findGrants = (message: string) => /(?:GRANT [^;]+;\s?)+/.exec(message)?.[0] ?? ''

/** Returns the SQL of docs/database.md that creates the two users. */
const readDocumentedSql = () => readExample('docs/database.md', 'Two database users', 'sql')

test(
  'migrate works as the owner in docs/database.md, and the service and other commands work as the user with DML only',
  listedAsWorking(
    'PostgreSQL',
    'an owner for `migrate`, and a user with DML only for everything else',
    '[the SQL](database.md#two-database-users)',
  ),
  async () => {
    await runSql('CREATE DATABASE app')
    await runSql(await readDocumentedSql(), appUrl())
    const ownerUrl = appUrl({ user: 'last_logout_owner', schema: 'last_logout' })
    const url = appUrl({ user: 'last_logout', schema: 'last_logout' })
    expect(await runMigrate(ownerUrl)).toMatchObject({ code: 0, stderr: '' })
    expect(await runMigrate(ownerUrl)).toMatchObject({
      code: 0,
      stdout: 'the database is up to date\n',
    })
    expect(await runDoctor(url)).toEqual([])

    const service = await runService({ DATABASE_URL: url })
    service.logout('auth0|1')
    await service.waitForLogout('auth0|1')
    expect(await service.reportLogout('auth0|2')).toBe(200)
    expect(service.countLines('error', /./)).toBe(0)
    expect(service.countLines('warn', /queue/)).toBe(0)
    await service.close()
    for (const args of [['status'], ['floor', 'raise', 'now'], ['logout', 'auth0|3']]) {
      const env = { AUTH0_DOMAIN: 'tenant.example', DATABASE_URL: url }
      expect(await finishCommandLine(args, env), args[0]).toMatchObject({ code: 0, stderr: '' })
    }

    // The user with DML only can neither drop nor create a table or a schema.
    await expect(runSql('DROP TABLE last_logout.tenant', url)).rejects.toThrow(/must be owner/)
    await expect(runSql('CREATE TABLE last_logout.other ()', url)).rejects.toThrow(
      /permission denied/,
    )
    const refusedMigration = await runMigrate(appUrl({ user: 'last_logout', schema: 'another' }))
    expect(refusedMigration.code).toBe(2)
  },
)

test('the SQL of docs/database.md works for a user with CREATEROLE who owns the database, and so does that of the removal', async () => {
  await runSql('CREATE ROLE manager LOGIN CREATEROLE')
  cleanups.push(() => runSql('DROP ROLE manager'))
  await runSql('CREATE DATABASE app')
  await runSql('ALTER DATABASE app OWNER TO manager')
  cleanups.push(() => runSql('ALTER DATABASE app OWNER TO CURRENT_USER'))
  const managerUrl = appUrl({ user: 'manager' })
  await runSql(await readDocumentedSql(), managerUrl)
  const schema = 'last_logout'
  expect(await runMigrate(appUrl({ user: 'last_logout_owner', schema }))).toMatchObject({ code: 0 })
  expect(await runStatus(appUrl({ user: 'last_logout', schema }))).toMatchObject({ code: 0 })
  const document = await readFile('docs/operations.md', 'utf8')
  await runSql(/`(GRANT last_logout TO [^`]*)`/.exec(document)?.[1] ?? '', managerUrl)
  const { rowCount } = await runSql(`SELECT FROM pg_roles WHERE rolname LIKE 'last_logout%'`)
  expect(rowCount).toBe(0)
})

describe('migrate', () => {
  /** Creates the database `app` without tables, and a user without privileges on it. */
  const createEmptyApp = async () => {
    await runSql('CREATE DATABASE app')
    await runSql('CREATE ROLE last_logout LOGIN')
  }

  test.each<[privilege: string, schemaOfUrl: { schema?: string }, message: RegExp]>([
    ['CREATE on the schema', {}, /lacks CREATE on the schema public; .* GRANT USAGE, CREATE/],
    [
      'CREATE on the database',
      { schema: 'mine' },
      /the schema mine does not exist, .* lacks CREATE on the data/,
    ],
  ])(
    'migrate names the missing privilege %s, and succeeds after the SQL that it prints was run',
    async (_privilege, schemaOfUrl, message) => {
      await createEmptyApp()
      await runSql('REVOKE CREATE ON SCHEMA public FROM PUBLIC', appUrl())
      const url = appUrl({ user: 'last_logout', ...schemaOfUrl })
      const refusal = await runMigrate(url)
      expect(refusal.code).toBe(2)
      expect(refusal.stderr).toMatch(message)
      // The message is a single line.
      expect(refusal.stderr).toMatch(/^.*\n$/)
      await runSql(findGrants(refusal.stderr), appUrl())
      let result = await runMigrate(url)
      // A privilege on the schema public is not enough, because `migrate` also creates a schema for the job queue.
      if (schemaOfUrl.schema === undefined) {
        expect(result.code).toBe(2)
        expect(result.stderr).toMatch(
          /tables of the job queue cannot be created: .*or set REDIS_URL/,
        )
        await runSql(findGrants(result.stderr), appUrl())
        result = await runMigrate(url)
      }
      expect(result).toMatchObject({ code: 0, stderr: '' })
    },
  )

  test(
    'migrate refuses to run as a user who does not own the tables, and names the owner',
    listedAsRefused(
      'PostgreSQL',
      '`migrate` by a user that is not the owner of the tables',
      'exit code 2, with the owner to use',
    ),
    async () => {
      await createEmptyApp()
      expect(await runMigrate(appUrl())).toMatchObject({ code: 0 })
      await runSql('GRANT USAGE, CREATE ON SCHEMA public TO last_logout', appUrl())
      await runSql('GRANT SELECT ON _prisma_migrations TO last_logout', appUrl())
      // This row records a migration as applied. Without the row, `migrate` has to apply the migration again.
      await runSql("DELETE FROM _prisma_migrations WHERE migration_name LIKE '%timeline'", appUrl())
      const refusal = await runMigrate(appUrl({ user: 'last_logout' }))
      expect(refusal.code).toBe(2)
      expect(refusal.stderr).toMatch(
        /the tables belong to test, not to the database user last_logout/,
      )
    },
  )
})

describe('a user without privileges', () => {
  /** Creates the database `app` with all tables, and a user without privileges on them. */
  const createMigratedApp = async () => {
    await runSql('CREATE DATABASE app')
    await runSql('CREATE ROLE last_logout LOGIN')
    expect(await runMigrate(appUrl())).toMatchObject({ code: 0 })
  }

  test(
    'worker and status refuse a user without privileges, and accept this user after the SQL that they print was run',
    listedAsRefused(
      'PostgreSQL',
      'a user that lacks privileges',
      'exit code 2, with the SQL that grants them',
    ),
    async () => {
      await createMigratedApp()
      const url = appUrl({ user: 'last_logout' })
      const refusal = await runStatus(url)
      expect(refusal.code).toBe(2)
      expect(refusal.stderr).toMatch(
        /lacks .*SELECT, INSERT, UPDATE on "public".tenant.*: let the owner/,
      )
      await runSql(findGrants(refusal.stderr), appUrl())
      expect(await runStatus(url)).toMatchObject({ code: 0, stderr: '' })

      const worker = await runFailingWorker(url)
      expect(worker.code).toBe(2)
      expect(worker.stderr).toMatch(
        /lacks privileges on the tables of the job queue: .*GRANT USAGE/,
      )
      await runSql(findGrants(worker.stderr), appUrl())
      expect(await runDoctor(url)).toEqual([])
      const service = await runService({ DATABASE_URL: url })
      cleanups.push(service.close)
      service.logout('auth0|1')
      await service.waitForLogout('auth0|1')
      expect(service.countLines('warn', /queue/)).toBe(0)
      const env = { AUTH0_DOMAIN: 'tenant.example', DATABASE_URL: url }
      expect(await finishCommandLine(['forget', 'auth0|1'], env)).toMatchObject({ code: 0 })
    },
  )

  test('doctor prints the SQL that grants the missing privileges on the tables and on the job queue', async () => {
    await createMigratedApp()
    const url = appUrl({ user: 'last_logout' })
    const problems = await runDoctor(url)
    expect(problems.join('\n')).toMatch(/migrations: .*lacks .*GRANT/)
    expect(problems.join('\n')).toMatch(/queue: .*lacks .*GRANT/)
    for (const line of problems.filter((line) => line.includes('GRANT'))) {
      await runSql(findGrants(line), appUrl())
    }
    expect(await runDoctor(url)).toEqual([])
  })

  test('if the user loses a privilege while the store is open, a write fails with an error that advises to run doctor', async () => {
    await createMigratedApp()
    const url = appUrl({ user: 'last_logout' })
    await runSql(findGrants((await runStatus(url)).stderr), appUrl())
    const store = await openTestStore({ url })
    cleanups.push(store.close)
    await runSql('REVOKE INSERT ON last_logout FROM last_logout', appUrl())
    const report = { userId: 'auth0|1', sessionId: null, at: 1_000, type: 'reported_logout' }
    await expect(store.storeReported(report)).rejects.toMatchObject({
      code: 'CONFIGURATION',
      message: expect.stringMatching(/lacks a privilege .*SQLSTATE 42501.*`last-logout doctor`/),
    })
  })
})
