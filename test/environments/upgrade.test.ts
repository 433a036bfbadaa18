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
import { works } from './compatibility.js'
import { findPostgresVersion } from './postgres-versions.js'

const ROWS = 1_000_000

/** How long a request may take while the tables are migrated beside it, in milliseconds. */
const MAX_REQUEST_MS = 3_000

const released = await importReleasedService()
const current = { createService, loadConfig }

interface Running {
  /** Resolves when the API of this service knows a logout of the user. */
  waitForLogout(userId: string): Promise<void>
  /** Requests the last logout of the newest user of the table. Resolves to the status. */
  request(): Promise<number>
  close(): Promise<void>
}

describe.each([14, 18])('a database of 0.1.0 with a million rows on PostgreSQL %d', (major) => {
  let postgres: TestPostgres
  let t: TestTenant
  let older: Running
  beforeAll(async () => {
    t = await openTenant()
    postgres = await startPostgres({}, { binaries: findPostgresVersion(major), empty: true })
    await released.applyMigrations(postgres.url)
    await migrateQueue(postgres.url)
    await fill(postgres)
    older = await start(released)
  }, 300_000)
  afterAll(async () => {
    await older?.close()
    await postgres?.remove()
    await t?.close()
  })

  /** Starts a worker and an API of a release. */
  async function start(release: typeof current): Promise<Running> {
    const variables = {
      ...tenantEnv(t.simulator),
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
        const readAt = async () =>
          ((await (await read(userId)).json()) as { last_logout_at: string | null }).last_logout_at
        await expect.poll(readAt, WAIT).not.toBeNull()
      },
      request: async () => (await read(`auth0|${ROWS / 2}`)).status,
      close: service.close,
    }
  }

  const logOut = (userId: string) =>
    t.tenant.write(buildEntry('slo', { userId, sessionId: userId }))

  /** Requests one response after the other while something runs. Resolves to the slowest, in milliseconds. */
  async function measureRequests(run: () => Promise<unknown>): Promise<number> {
    let isOver = false
    let slowest = 0
    const requests = (async () => {
      while (!isOver) {
        const startedAt = performance.now()
        expect(await older.request()).toBe(200)
        slowest = Math.max(slowest, performance.now() - startedAt)
      }
    })()
    await run().finally(() => {
      isOver = true
    })
    await requests
    return Math.round(slowest)
  }

  test('is migrated beside a running 0.1.0, whose requests hardly wait', {
    ...works(
      'PostgreSQL',
      `upgrade from 0.1.0 with a million rows on PostgreSQL ${major}`,
      'beside a running 0.1.0; [rollback](upgrades.md)',
    ),
    timeout: 60_000,
  }, async ({ annotate }) => {
    logOut('auth0|before')
    await older.waitForLogout('auth0|before')
    const size = await postgres.query<{ size: string }>(
      `SELECT pg_size_pretty(pg_database_size(current_database())) AS size`,
    )
    const before = await readFiles(postgres)
    let ms = 0
    const slowest = await measureRequests(async () => {
      const startedAt = performance.now()
      expect(await applyMigrations(postgres.url)).not.toEqual([])
      ms = Math.round(performance.now() - startedAt)
    })
    await annotate(`${size[0]?.size} migrated in ${ms} ms, slowest request ${slowest} ms`)
    expect(slowest).toBeLessThan(MAX_REQUEST_MS)
    // A table that is rewritten, or gets an index, is locked for as long as that takes.
    expect(await readFiles(postgres)).toEqual(before)
    const [counted] = await postgres.query<{ rows: number }>(
      `SELECT ((SELECT count(*) FROM last_logout WHERE log_id LIKE 'L%')
         + (SELECT count(*) FROM session_logout WHERE log_id LIKE 'L%'))::integer AS rows`,
    )
    expect(counted?.rows).toBe(ROWS)
  })

  test('the worker and the API of 0.1.0 continue on the new tables', async () => {
    logOut('auth0|older')
    await older.waitForLogout('auth0|older')
  })

  test('new ones run beside them, and each serves what the other has read', async () => {
    const newer = await start(current)
    onTestFinished(newer.close)
    for (const userId of ['auth0|a', 'auth0|b', 'auth0|c']) {
      logOut(userId)
      await Promise.all([older.waitForLogout(userId), newer.waitForLogout(userId)])
    }
  })

  test('0.1.0 is rolled back to by starting it, and the new release is started again', async () => {
    await older.close()
    const newer = await start(current)
    logOut('auth0|by new')
    await newer.waitForLogout('auth0|by new')
    await newer.close()

    // Its own `migrate` has nothing to do either.
    expect(await released.applyMigrations(postgres.url)).toEqual([])
    older = await start(released)
    await older.waitForLogout('auth0|by new')
    logOut('auth0|rolled back')
    await older.waitForLogout('auth0|rolled back')

    expect(await applyMigrations(postgres.url)).toEqual([])
    const again = await start(current)
    onTestFinished(again.close)
    await again.waitForLogout('auth0|rolled back')
  })
})

describe('a transaction that holds a table', () => {
  let postgres: TestPostgres
  let backup: pg.Client
  beforeAll(async () => {
    postgres = await startPostgres({}, { empty: true })
    await released.applyMigrations(postgres.url)
    backup = new pg.Client({ connectionString: postgres.url })
    await backup.connect()
  })
  afterAll(async () => {
    await backup.end()
    await postgres.remove()
  })

  const quick: LockLimits = { timeoutMs: 200, maxAttempts: 3, delayMs: 200 }
  const holdLock = () => backup.query('BEGIN; SELECT FROM tenant')

  test('is waited for in short attempts: readers wait at most as long as one of them', async () => {
    expect(LOCK_LIMITS).toEqual({ timeoutMs: 2_000, maxAttempts: 10, delayMs: 1_000 })
    await holdLock()
    const migrated = applyMigrations(postgres.url, { ...quick, maxAttempts: 100 })
    let slowest = 0
    for (const until = performance.now() + 2_000; performance.now() < until; ) {
      const startedAt = performance.now()
      await postgres.query('SELECT FROM tenant')
      slowest = Math.max(slowest, performance.now() - startedAt)
      await sleep(5)
    }
    await backup.query('COMMIT')
    expect(await migrated).not.toEqual([])
    // It did wait, behind the migration, and not for the two seconds.
    expect(slowest).toBeGreaterThan(50)
    expect(slowest).toBeLessThan(1_000)
  })

  test('that does not end is reported with what to do, and nothing is changed', async () => {
    await withClient(postgres.url, (client) =>
      client.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public'),
    )
    await released.applyMigrations(postgres.url)
    await holdLock()
    await expect(applyMigrations(postgres.url, quick)).rejects.toMatchObject({
      code: 'DATABASE_UNAVAILABLE',
      message: expect.stringMatching(/another transaction holds them.*Nothing was changed/),
    })
    await backup.query('COMMIT')
    expect(await released.applyMigrations(postgres.url)).toEqual([])
    expect(await applyMigrations(postgres.url)).not.toEqual([])
  })
})

/** The files of the large tables and their indexes. */
function readFiles({ query }: TestPostgres): Promise<object[]> {
  return query(
    `SELECT relname, relfilenode FROM pg_class
     WHERE relname ~ '^(last_logout|session_logout)' AND relkind IN ('r', 'i') ORDER BY relname`,
  )
}

/** Half of the rows are users, half are sessions. */
async function fill({ url }: TestPostgres): Promise<void> {
  const columns = `now() - interval '20 days' + n * interval '1 second', 'L' || n, 'slo', n`
  const numbers = `generate_series(1, ${ROWS / 2}) AS n`
  const statements = [
    `INSERT INTO last_logout (user_id, at, log_id, type, seq) SELECT 'auth0|' || n, ${columns} FROM ${numbers}`,
    `INSERT INTO session_logout (session_id, user_id, ended, at, log_id, type, seq)
     SELECT 'session ' || n, 'auth0|' || n, true, ${columns} FROM ${numbers}`,
    `INSERT INTO tenant (domain, seq) VALUES ('tenant.example', ${ROWS})`,
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
