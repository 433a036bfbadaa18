import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { finishCommandLine } from '../_support/command-line.js'
import { readExample } from '../_support/documents.js'
import { startPostgres, type TestPostgres } from '../_support/postgres.js'
import { runService } from '../_support/running-service.js'
import { openTestStore } from '../_support/store.js'
import { openTenant, tenantEnv } from '../_support/tenant.js'
import { isRefusedIn, worksIn } from './compatibility.js'

/** A separate server, because roles exist in the whole server, and the roles of docs/database.md have fixed names. */
let server: TestPostgres
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.remove())

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
  await runSql('DROP DATABASE app WITH (FORCE)')
  for (const role of ['last_logout', 'last_logout_owner'])
    await runSql(`DROP ROLE IF EXISTS ${role}`)
})

/** Runs SQL. Default: as a superuser in the database of `server.url`. */
async function runSql(sql: string, url = server.url): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await client.query(sql)
  } finally {
    await client.end()
  }
}

/** Returns the URL of the database `app`. */
function urlOf({ user = 'test', schema }: { user?: string; schema?: string } = {}): string {
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

/** Runs `worker` until it exits. */
async function runFailingWorker(url: string) {
  const testTenant = await openTenant()
  closers.push(testTenant.close)
  return finishCommandLine(['worker'], { ...tenantEnv(testTenant.simulator), DATABASE_URL: url })
}

/** Runs `doctor`. Returns the problems of the database. */
async function runDoctor(url: string): Promise<string[]> {
  const testTenant = await openTenant()
  closers.push(testTenant.close)
  const env = { ...tenantEnv(testTenant.simulator), DATABASE_URL: url }
  const { stdout } = await finishCommandLine(['doctor', '--json'], env)
  const { checks } = JSON.parse(stdout) as { checks: Record<string, string>[] }
  const names = ['database', 'migrations', 'queue', 'privileges']
  return checks
    .filter(({ name = '', status }) => names.includes(name) && status !== 'ok')
    .map(({ name, message, advice }) => `${name}: ${message} ${advice ?? ''}`)
}

/** Returns the SQL that a message contains. */
const readSql = (message: string) => /(?:GRANT [^;]+;\s?)+/.exec(message)?.[0] ?? ''

const readDocumentedSql = () => readExample('docs/database.md', 'Two database users', 'sql')

test(
  'migrate works as the owner in docs/database.md, and all other commands work as the user with DML only',
  worksIn(
    'PostgreSQL',
    'an owner for `migrate`, and a user with DML only for everything else',
    '[the SQL](database.md#two-database-users)',
  ),
  async () => {
    await runSql('CREATE DATABASE app')
    await runSql(await readDocumentedSql(), urlOf())
    const owner = urlOf({ user: 'last_logout_owner', schema: 'last_logout' })
    const url = urlOf({ user: 'last_logout', schema: 'last_logout' })
    expect(await runMigrate(owner)).toMatchObject({ code: 0, stderr: '' })
    expect(await runMigrate(owner)).toMatchObject({
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

    // This user has no other privileges.
    await expect(runSql('DROP TABLE last_logout.tenant', url)).rejects.toThrow(/must be owner/)
    await expect(runSql('CREATE TABLE last_logout.other ()', url)).rejects.toThrow(
      /permission denied/,
    )
    const refusedMigration = await runMigrate(urlOf({ user: 'last_logout', schema: 'another' }))
    expect(refusedMigration.code).toBe(2)
  },
)

describe('migrate', () => {
  const createApp = async () => {
    await runSql('CREATE DATABASE app')
    await runSql('CREATE ROLE last_logout LOGIN')
  }

  test.each([
    [
      'CREATE on the schema',
      undefined,
      /lacks CREATE on the schema public; .* GRANT USAGE, CREATE/,
    ],
    [
      'CREATE on the database',
      'mine',
      /the schema mine does not exist, .* lacks CREATE on the data/,
    ],
  ])(
    'migrate names the missing %s, and succeeds after the SQL that it prints was run',
    async (_, schema, message) => {
      await createApp()
      await runSql('REVOKE CREATE ON SCHEMA public FROM PUBLIC', urlOf())
      const url = urlOf({ user: 'last_logout', ...(schema !== undefined && { schema }) })
      const refusal = await runMigrate(url)
      expect(refusal.code).toBe(2)
      expect(refusal.stderr).toMatch(message)
      expect(refusal.stderr.split('\n')).toHaveLength(2)
      await runSql(readSql(refusal.stderr), urlOf())
      let result = await runMigrate(url)
      // With the schema public, the next migrate also creates the schema of the queue.
      if (schema === undefined) {
        expect(result.code).toBe(2)
        expect(result.stderr).toMatch(
          /tables of the job queue cannot be created: .*or set REDIS_URL/,
        )
        await runSql(readSql(result.stderr), urlOf())
        result = await runMigrate(url)
      }
      expect(result).toMatchObject({ code: 0, stderr: '' })
    },
  )

  test(
    'migrate names the owner of the tables if another user runs it',
    isRefusedIn(
      'PostgreSQL',
      '`migrate` by a user that is not the owner of the tables',
      'exit code 2, with the owner to use',
    ),
    async () => {
      await createApp()
      expect(await runMigrate(urlOf())).toMatchObject({ code: 0 })
      await runSql('GRANT USAGE, CREATE ON SCHEMA public TO last_logout', urlOf())
      await runSql('GRANT SELECT ON _prisma_migrations TO last_logout', urlOf())
      await runSql("DELETE FROM _prisma_migrations WHERE migration_name LIKE '%timeline'", urlOf())
      const refusal = await runMigrate(urlOf({ user: 'last_logout' }))
      expect(refusal.code).toBe(2)
      expect(refusal.stderr).toMatch(
        /the tables belong to test, not to the database user last_logout/,
      )
    },
  )
})

describe('a user without privileges', () => {
  const migrateApp = async () => {
    await runSql('CREATE DATABASE app')
    await runSql('CREATE ROLE last_logout LOGIN')
    expect(await runMigrate(urlOf())).toMatchObject({ code: 0 })
  }

  test(
    'worker and status refuse the user, and accept it after the SQL that they print was run',
    isRefusedIn(
      'PostgreSQL',
      'a user that lacks privileges',
      'exit code 2, with the SQL that grants them',
    ),
    async () => {
      await migrateApp()
      const url = urlOf({ user: 'last_logout' })
      const refusal = await runStatus(url)
      expect(refusal.code).toBe(2)
      expect(refusal.stderr).toMatch(
        /lacks .*SELECT, INSERT, UPDATE on "public".tenant.*: let the owner/,
      )
      await runSql(readSql(refusal.stderr), urlOf())
      expect(await runStatus(url)).toMatchObject({ code: 0, stderr: '' })

      const worker = await runFailingWorker(url)
      expect(worker.code).toBe(2)
      expect(worker.stderr).toMatch(
        /lacks privileges on the tables of the job queue: .*GRANT USAGE/,
      )
      await runSql(readSql(worker.stderr), urlOf())
      expect(await runDoctor(url)).toEqual([])
      const service = await runService({ DATABASE_URL: url })
      closers.push(service.close)
      service.logout('auth0|1')
      await service.waitForLogout('auth0|1')
      expect(service.countLines('warn', /queue/)).toBe(0)
      const env = { AUTH0_DOMAIN: 'tenant.example', DATABASE_URL: url }
      expect(await finishCommandLine(['forget', 'auth0|1'], env)).toMatchObject({ code: 0 })
    },
  )

  test('doctor prints the SQL that grants the privileges, for the tables and for the queue', async () => {
    await migrateApp()
    const url = urlOf({ user: 'last_logout' })
    const problems = await runDoctor(url)
    expect(problems.join('\n')).toMatch(/migrations: .*lacks .*GRANT/)
    expect(problems.join('\n')).toMatch(/queue: .*lacks .*GRANT/)
    for (const line of problems.filter((line) => line.includes('GRANT'))) {
      await runSql(readSql(line), urlOf())
    }
    expect(await runDoctor(url)).toEqual([])
  })

  test('a write fails with the command that finds the privilege, if the user loses a privilege meanwhile', async () => {
    await migrateApp()
    const url = urlOf({ user: 'last_logout' })
    await runSql(readSql((await runStatus(url)).stderr), urlOf())
    const store = await openTestStore({ url })
    closers.push(store.close)
    await runSql('REVOKE INSERT ON last_logout FROM last_logout', urlOf())
    const report = { userId: 'auth0|1', sessionId: null, at: 1_000, type: 'reported_logout' }
    await expect(store.storeReported(report)).rejects.toMatchObject({
      code: 'CONFIGURATION',
      message: expect.stringMatching(/lacks a privilege .*SQLSTATE 42501.*`last-logout doctor`/),
    })
  })
})
