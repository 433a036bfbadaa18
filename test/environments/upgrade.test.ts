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
import { listedAsWorking } from './compatibility.js'
import { findPostgresVersion } from './postgres-versions.js'

/** The number of rows of users and sessions together. Half of them are users, numbered from 1. */
const ROW_COUNT = 1_000_000

/** Maximum duration of a request during a migration. */
const MAX_REQUEST_MS = 3_000

const release010 = await importReleasedService()
const newRelease = { createService, loadConfig }

/** The worker and the API of one release, in this process. */
interface RunningRelease {
  /** Waits until the API returns a logout of the user. */
  waitForLogout(userId: string): Promise<void>
  /** Requests the last logout of the user with the highest number. Returns the status of the response. */
  requestLastUser(): Promise<number>
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
    await fillTables(postgres)
    service010 = await start(release010)
  }, 300_000)
  afterAll(async () => {
    await service010?.close()
    await postgres?.remove()
    await testTenant?.close()
  })

  /** Starts the worker and the API of a release. */
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
    const requestUser = (userId: string) =>
      fetch(`${url}/v1/users/${encodeURIComponent(userId)}/last-logout`, {
        headers: { authorization: `Bearer ${KEY}` },
      })
    return {
      async waitForLogout(userId) {
        const readLastLogoutAt = async () =>
          ((await (await requestUser(userId)).json()) as { last_logout_at: string | null })
            .last_logout_at
        await expect.poll(readLastLogoutAt, WAIT).not.toBeNull()
      },
      requestLastUser: async () => (await requestUser(`auth0|${ROW_COUNT / 2}`)).status,
      close: service.close,
    }
  }

  /** Writes a logout to the log of the tenant. */
  const logOut = (userId: string) =>
    testTenant.tenant.write(buildEntry('slo', { userId, sessionId: userId }))

  /** Sends requests in sequence while `run` runs. Returns the duration of the slowest request, in milliseconds. */
  async function measureSlowestRequest(run: () => Promise<unknown>): Promise<number> {
    let isDone = false
    let maxMs = 0
    const requests = (async () => {
      while (!isDone) {
        const startedAt = performance.now()
        expect(await service010.requestLastUser()).toBe(200)
        maxMs = Math.max(maxMs, performance.now() - startedAt)
      }
    })()
    await run().finally(() => {
      isDone = true
    })
    await requests
    return Math.round(maxMs)
  }

  test('each request to 0.1.0 takes less than three seconds during the migration to the new release', {
    ...listedAsWorking(
      'PostgreSQL',
      `upgrade from 0.1.0 with a million rows on PostgreSQL ${major}`,
      'while 0.1.0 runs; [rollback](upgrades.md)',
    ),
    timeout: 60_000,
  }, async ({ annotate }) => {
    logOut('auth0|before')
    await service010.waitForLogout('auth0|before')
    const [database] = await postgres.query<{ size: string }>(
      `SELECT pg_size_pretty(pg_database_size(current_database())) AS size`,
    )
    const fileNodesBefore = await readFileNodes(postgres)
    let migrationMs = 0
    const maxMs = await measureSlowestRequest(async () => {
      const startedAt = performance.now()
      expect(await applyMigrations(postgres.url)).not.toEqual([])
      migrationMs = Math.round(performance.now() - startedAt)
    })
    await annotate(`${database?.size} migrated in ${migrationMs} ms, slowest request ${maxMs} ms`)
    expect(maxMs).toBeLessThan(MAX_REQUEST_MS)
    // A migration that rewrites a table or adds an index would create new files, and lock the table for a long time.
    expect(await readFileNodes(postgres)).toEqual(fileNodesBefore)
    // The log ids of the rows of `fillTables` begin with `L`.
    const [countRow] = await postgres.query<{ rows: number }>(
      `SELECT ((SELECT count(*) FROM last_logout WHERE log_id LIKE 'L%')
         + (SELECT count(*) FROM session_logout WHERE log_id LIKE 'L%'))::integer AS rows`,
    )
    expect(countRow?.rows).toBe(ROW_COUNT)
  })

  test('the worker of 0.1.0 stores a logout in the migrated tables, and the API of 0.1.0 returns this logout', async () => {
    logOut('auth0|migrated')
    await service010.waitForLogout('auth0|migrated')
  })

  test('0.1.0 and the new release can run at the same time, and both return every new logout', async () => {
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

    // There is no migration to apply.
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

describe('a transaction that holds a lock on a table during a migration', () => {
  let postgres: TestPostgres
  /** The client that holds the lock. */
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

  const SHORT_LIMITS: LockLimits = { timeoutMs: 200, maxAttempts: 3, delayMs: 200 }
  /** Begins a transaction that reads the table `tenant`. Until its end, no migration can change this table. */
  const holdLock = () => blocker.query('BEGIN; SELECT FROM tenant')

  test('migrate waits for a lock only for a short time, because later readers of the table wait too', async () => {
    expect(LOCK_LIMITS).toEqual({ timeoutMs: 2_000, maxAttempts: 10, delayMs: 1_000 })
    await holdLock()
    // With 100 attempts, the migration does not give up before the lock is released.
    const migration = applyMigrations(postgres.url, { ...SHORT_LIMITS, maxAttempts: 100 })
    let maxQueryMs = 0
    // Two seconds are enough for several attempts of the migration.
    const queryUntil = performance.now() + 2_000
    while (performance.now() < queryUntil) {
      const startedAt = performance.now()
      await postgres.query('SELECT FROM tenant')
      maxQueryMs = Math.max(maxQueryMs, performance.now() - startedAt)
      await sleep(5)
    }
    await blocker.query('COMMIT')
    expect(await migration).not.toEqual([])
    // The slowest query waited for an attempt of the migration (at most 200 ms), but not for the end of the transaction.
    expect(maxQueryMs).toBeGreaterThan(50)
    expect(maxQueryMs).toBeLessThan(1_000)
  })

  test('migrate changes nothing and fails with the remedy if the transaction does not end', async () => {
    // The database of 0.1.0 again, because the test above has migrated it.
    await withClient(postgres.url, (client) =>
      client.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public'),
    )
    await release010.applyMigrations(postgres.url)
    await holdLock()
    await expect(applyMigrations(postgres.url, SHORT_LIMITS)).rejects.toMatchObject({
      code: 'DATABASE_UNAVAILABLE',
      message: expect.stringMatching(/another transaction holds them.*Nothing was changed/),
    })
    await blocker.query('COMMIT')
    // Nothing was changed: 0.1.0 has no migration to apply, and the new release still has some.
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

/** Inserts the last logouts of users and of as many sessions. */
async function fillTables({ url }: TestPostgres): Promise<void> {
  const values = `now() - interval '20 days' + n * interval '1 second', 'L' || n, 'slo', n`
  const numbers = `generate_series(1, ${ROW_COUNT / 2}) AS n`
  const statements = [
    `INSERT INTO last_logout (user_id, at, log_id, type, seq) SELECT 'auth0|' || n, ${values} FROM ${numbers}`,
    `INSERT INTO session_logout (session_id, user_id, ended, at, log_id, type, seq)
     SELECT 'session ' || n, 'auth0|' || n, true, ${values} FROM ${numbers}`,
    `INSERT INTO tenant (domain, seq) VALUES ('tenant.example', ${ROW_COUNT})`,
  ]
  await withClient(
    url,
    async (client) => {
      for (const sql of statements) await client.query(sql)
      await client.query('ANALYZE')
    },
    // An insert of half a million rows can take minutes on a busy machine.
    { queryTimeoutMs: 240_000 },
  )
}
