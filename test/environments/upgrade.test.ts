import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { loadConfig } from '../../src/config/config.js'
import { migrateQueue } from '../../src/jobs/jobs.js'
import { withClient } from '../../src/pg/client.js'
import { createService } from '../../src/service/service.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { LOCK_LIMITS, type LockLimits } from '../../src/store/migration-locks.js'
import { applyMigrations } from '../../src/store/migrations.js'
import { startPostgres, type TestPostgres } from '../_support/postgres.js'
import { importReleasedService } from '../_support/release-0-1-0.js'
import { KEY } from '../_support/served-api.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'
import { WAIT } from '../_support/wait.js'
import { worksIn } from './compatibility.js'
import { findPostgresVersion } from './postgres-versions.js'

const ROW_COUNT = 1_000_000

/** Maximum duration of a request during a migration. */
const MAX_REQUEST_MS = 3_000

const release010 = await importReleasedService()
const newRelease = { createService, loadConfig }

interface RunningRelease {
  /** Waits until the API returns a logout of the user. */
  waitForLogout(userId: string): Promise<void>
  /** Requests the last logout of the user with the highest number. Returns the status. */
  request(): Promise<number>
  close(): Promise<void>
}

describe.each([14, 18])('a database of 0.1.0 with a million rows on PostgreSQL %d', (major) => {
  let postgres: TestPostgres
  let testTenant: TestTenant
  let service010: RunningRelease
  beforeAll(async () => {
    testTenant = await openTenant()
    postgres = await startPostgres({}, { binaries: findPostgresVersion(major), isEmpty: true })
    await release010.applyMigrations(postgres.url)
    await migrateQueue(postgres.url)
    await fill(postgres)
    service010 = await start(release010)
  }, 300_000)
  afterAll(async () => {
    await service010?.close()
    await postgres?.remove()
    await testTenant?.close()
  })

  /** Starts a worker and an API of a release. */
  async function start(release: typeof newRelease): Promise<RunningRelease> {
    const variables = {
      ...tenantEnv(testTenant.simulator),
      DATABASE_URL: postgres.url,
      API_KEYS: `test:${KEY}:read+feed+logout`,
      PORT: '0',
      POLL_INTERVAL: '200ms',
    }
    const config = release.loadConfig(variables, ['auth0', 'api', 'database'])
    const service = await release.createService(config, pino({ level: 'silent' }))
    const url = await service.startApi()
    await service.startWorker()
    const read = (userId: string) =>
      fetch(`${url}/v1/users/${encodeURIComponent(userId)}/last-logout`, {
        headers: { authorization: `Bearer ${KEY}` },
      })
    return {
      async waitForLogout(userId) {
        const readLastLogoutAt = async () =>
          ((await (await read(userId)).json()) as { last_logout_at: string | null }).last_logout_at
        await expect.poll(readLastLogoutAt, WAIT).not.toBeNull()
      },
      request: async () => (await read(`auth0|${ROW_COUNT / 2}`)).status,
      close: service.close,
    }
  }

  const logOut = (userId: string) =>
    testTenant.tenant.write(buildEntry('slo', { userId, sessionId: userId }))

  /** Sends requests in sequence while `run` runs. Returns the duration of the slowest request, in milliseconds. */
  async function measureRequests(run: () => Promise<unknown>): Promise<number> {
    let isDone = false
    let maxMs = 0
    const requests = (async () => {
      while (!isDone) {
        const startedAt = performance.now()
        expect(await service010.request()).toBe(200)
        maxMs = Math.max(maxMs, performance.now() - startedAt)
      }
    })()
    await run().finally(() => {
      isDone = true
    })
    await requests
    return Math.round(maxMs)
  }

  test('a migration while 0.1.0 runs delays requests by less than three seconds', {
    ...worksIn(
      'PostgreSQL',
      `upgrade from 0.1.0 with a million rows on PostgreSQL ${major}`,
      'while 0.1.0 runs; [rollback](upgrades.md)',
    ),
    timeout: 60_000,
  }, async ({ annotate }) => {
    logOut('auth0|before')
    await service010.waitForLogout('auth0|before')
    const size = await postgres.query<{ size: string }>(
      `SELECT pg_size_pretty(pg_database_size(current_database())) AS size`,
    )
    const fileNodesBefore = await readFileNodes(postgres)
    let ms = 0
    const maxMs = await measureRequests(async () => {
      const startedAt = performance.now()
      expect(await applyMigrations(postgres.url)).not.toEqual([])
      ms = Math.round(performance.now() - startedAt)
    })
    await annotate(`${size[0]?.size} migrated in ${ms} ms, slowest request ${maxMs} ms`)
    expect(maxMs).toBeLessThan(MAX_REQUEST_MS)
    // A migration that rewrites a table or adds an index would create new files, and lock the table for a long time.
    expect(await readFileNodes(postgres)).toEqual(fileNodesBefore)
    const [countRow] = await postgres.query<{ rows: number }>(
      `SELECT ((SELECT count(*) FROM last_logout WHERE log_id LIKE 'L%')
         + (SELECT count(*) FROM session_logout WHERE log_id LIKE 'L%'))::integer AS rows`,
    )
    expect(countRow?.rows).toBe(ROW_COUNT)
  })

  test('the worker and the API of 0.1.0 work on the migrated tables', async () => {
    logOut('auth0|older')
    await service010.waitForLogout('auth0|older')
  })

  test('0.1.0 and the new release can run at the same time, and each returns the logouts that the other has read', async () => {
    const newService = await start(newRelease)
    onTestFinished(newService.close)
    for (const userId of ['auth0|a', 'auth0|b', 'auth0|c']) {
      logOut(userId)
      await Promise.all([service010.waitForLogout(userId), newService.waitForLogout(userId)])
    }
  })

  test('0.1.0 can be started after the new release, and then the new release can be started again', async () => {
    await service010.close()
    const newService = await start(newRelease)
    logOut('auth0|by new')
    await newService.waitForLogout('auth0|by new')
    await newService.close()

    // `migrate` of 0.1.0 applies no migration.
    expect(await release010.applyMigrations(postgres.url)).toEqual([])
    service010 = await start(release010)
    await service010.waitForLogout('auth0|by new')
    logOut('auth0|rolled back')
    await service010.waitForLogout('auth0|rolled back')

    expect(await applyMigrations(postgres.url)).toEqual([])
    const restartedService = await start(newRelease)
    onTestFinished(restartedService.close)
    await restartedService.waitForLogout('auth0|rolled back')
  })
})

describe('a transaction that holds a table', () => {
  let postgres: TestPostgres
  let blocker: pg.Client
  beforeAll(async () => {
    postgres = await startPostgres({}, { isEmpty: true })
    await release010.applyMigrations(postgres.url)
    blocker = new pg.Client({ connectionString: postgres.url })
    await blocker.connect()
  })
  afterAll(async () => {
    await blocker.end()
    await postgres.remove()
  })

  const shortLimits: LockLimits = { timeoutMs: 200, maxAttempts: 3, delayMs: 200 }
  const holdLock = () => blocker.query('BEGIN; SELECT FROM tenant')

  test('migrate waits for a lock only for a short time, because readers wait with it', async () => {
    expect(LOCK_LIMITS).toEqual({ timeoutMs: 2_000, maxAttempts: 10, delayMs: 1_000 })
    await holdLock()
    const migration = applyMigrations(postgres.url, { ...shortLimits, maxAttempts: 100 })
    let maxMs = 0
    for (const deadline = performance.now() + 2_000; performance.now() < deadline; ) {
      const startedAt = performance.now()
      await postgres.query('SELECT FROM tenant')
      maxMs = Math.max(maxMs, performance.now() - startedAt)
      await sleep(5)
    }
    await blocker.query('COMMIT')
    expect(await migration).not.toEqual([])
    // A query waited for the migration, but not until the end of the transaction.
    expect(maxMs).toBeGreaterThan(50)
    expect(maxMs).toBeLessThan(1_000)
  })

  test('migrate changes nothing and prints the remedy if the transaction does not end', async () => {
    await withClient(postgres.url, (client) =>
      client.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public'),
    )
    await release010.applyMigrations(postgres.url)
    await holdLock()
    await expect(applyMigrations(postgres.url, shortLimits)).rejects.toMatchObject({
      code: 'DATABASE_UNAVAILABLE',
      message: expect.stringMatching(/another transaction holds them.*Nothing was changed/),
    })
    await blocker.query('COMMIT')
    expect(await release010.applyMigrations(postgres.url)).toEqual([])
    expect(await applyMigrations(postgres.url)).not.toEqual([])
  })
})

/**
 * Returns the `relfilenode` of each large table and index. PostgreSQL changes this number when it rewrites the table or
 * the index.
 */
function readFileNodes({ query }: TestPostgres): Promise<object[]> {
  return query(
    `SELECT relname, relfilenode FROM pg_class
     WHERE relname ~ '^(last_logout|session_logout)' AND relkind IN ('r', 'i') ORDER BY relname`,
  )
}

/** Fills the tables. Half of the rows are users, and half are sessions. */
async function fill({ url }: TestPostgres): Promise<void> {
  const columns = `now() - interval '20 days' + n * interval '1 second', 'L' || n, 'slo', n`
  const numbers = `generate_series(1, ${ROW_COUNT / 2}) AS n`
  const statements = [
    `INSERT INTO last_logout (user_id, at, log_id, type, seq) SELECT 'auth0|' || n, ${columns} FROM ${numbers}`,
    `INSERT INTO session_logout (session_id, user_id, ended, at, log_id, type, seq)
     SELECT 'session ' || n, 'auth0|' || n, true, ${columns} FROM ${numbers}`,
    `INSERT INTO tenant (domain, seq) VALUES ('tenant.example', ${ROW_COUNT})`,
  ]
  await withClient(
    url,
    async (client) => {
      for (const sql of statements) await client.query(sql)
      await client.query('ANALYZE')
    },
    { queryTimeoutMs: 240_000 },
  )
}
