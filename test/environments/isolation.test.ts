import pg from 'pg'
import { afterEach, expect, test } from 'vitest'
import { hasCode } from '../../src/errors.js'
import { migrateQueue } from '../../src/jobs/jobs.js'
import { applyMigrations } from '../../src/store/migrations.js'
import { type PgBouncer, startPgBouncer } from '../_support/pgbouncer.js'
import { type RunningService, runService } from '../_support/running-service.js'
import { openTestStore } from '../_support/store.js'
import { worksIn } from './compatibility.js'
import { createOwnedDatabase, type OwnedDatabase } from './roles.js'

const LEVELS = ['repeatable read', 'serializable']
const STREAM_TOKEN = 'a-log-stream-token-of-more-than-32-characters'
const REPORT_COUNT = 150
const POST_COUNT = 50
/** Maximum number of concurrent requests. The API accepts at most five concurrent log-stream posts. */
const CONCURRENCY = { reports: 10, posts: 4 }

let ownedDatabase: OwnedDatabase | undefined
let service: RunningService | undefined
let pooler: PgBouncer | undefined
afterEach(async () => {
  await service?.close()
  service = undefined
  await pooler?.close()
  pooler = undefined
  await ownedDatabase?.drop()
  ownedDatabase = undefined
})

async function createDatabaseWithRole(settings: Record<string, string>): Promise<OwnedDatabase> {
  ownedDatabase = await createOwnedDatabase(settings)
  return ownedDatabase
}

/** Runs functions with limited concurrency. Returns their results in the order of completion. */
async function runConcurrently<T>(runs: (() => Promise<T>)[], concurrency: number): Promise<T[]> {
  const results: T[] = []
  const queue = [...runs]
  const runNext = async () => {
    for (let run = queue.shift(); run !== undefined; run = queue.shift()) results.push(await run())
  }
  await Promise.all(Array.from({ length: concurrency }, runNext))
  return results
}

test.each([
  ...LEVELS.map((level) => [level, 'directly'] as const),
  ['serializable', 'through PgBouncer'] as const,
])(
  'all concurrent reports and log-stream posts are stored with the default isolation %s and a connection %s',
  {
    ...worksIn(
      'PostgreSQL',
      '`default_transaction_isolation` of a role or a database: repeatable read, serializable',
    ),
    timeout: 60_000,
  },
  async (level, connection) => {
    const { url, database } = await createDatabaseWithRole({
      default_transaction_isolation: `'${level}'`,
    })
    await applyMigrations(url)
    await migrateQueue(url)
    pooler = connection === 'directly' ? undefined : await startPgBouncer(url)
    service = await runService({
      DATABASE_URL: pooler?.url ?? url,
      DATABASE_DIRECT_URL: url,
      LOG_STREAM_TOKEN: STREAM_TOKEN,
    })
    const runningService = service
    await expect
      .poll(() => runningService.requestStatus('/health/fresh'), { timeout: 20_000 })
      .toBe(200)

    const post = async (n: number) => {
      // Half of the posts contain a logout of a user who is also reported.
      const entry = {
        type: 'slo',
        date: new Date().toISOString(),
        log_id: `L${n}`,
        user_id: `u|${n}`,
      }
      const { status } = await fetch(`${runningService.url}/v1/log-stream`, {
        method: 'POST',
        headers: { authorization: STREAM_TOKEN, 'content-type': 'application/json' },
        body: JSON.stringify([entry]),
      })
      return status
    }
    const reports = Array.from(
      { length: REPORT_COUNT },
      (_, n) => () => runningService.reportLogout(`u|${n}`),
    )
    const posts = Array.from(
      { length: POST_COUNT },
      (_, n) => () => post(REPORT_COUNT - POST_COUNT / 2 + n),
    )
    const writtenLogout = runningService.logout('auth0|read')
    const statuses = await Promise.all([
      runConcurrently(posts, CONCURRENCY.posts),
      runConcurrently(reports, CONCURRENCY.reports),
    ])
    expect(statuses.flat().filter((status) => status >= 300)).toEqual([])
    const users = await database.query(`SELECT FROM last_logout WHERE user_id LIKE 'u|%'`)
    expect(users).toHaveLength(REPORT_COUNT + POST_COUNT / 2)
    // The worker polls at the same time, and its queue is in the same database.
    await runningService.waitForLogout(String(writtenLogout.user_id))
    expect(runningService.countLines('error', /./)).toBe(0)
    expect(runningService.countLines('warn', /queue/)).toBe(0)
  },
)

test.each(LEVELS)(
  'concurrent runs apply each migration once with the default isolation %s',
  async (level) => {
    const { url } = await createDatabaseWithRole({ default_transaction_isolation: `'${level}'` })
    const runs = await Promise.all([1, 2, 3].map(() => applyMigrations(url)))
    expect(runs.flat()).toHaveLength(new Set(runs.flat()).size)
    expect(runs.flat()).not.toEqual([])
    await Promise.all([1, 2, 3].map(() => migrateQueue(url)))
  },
)

/** Locks the tenant row in another session. Returns a function that releases the lock. */
async function lockTenantRow(url: string): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query('BEGIN; SELECT FROM tenant FOR UPDATE')
  return () => client.end()
}

/** Finds the sessions that wait for a lock. */
function findWaitingSessions(database: OwnedDatabase['database']): Promise<unknown[]> {
  return database.query(`SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'`)
}

test(
  'a write is retried after lock_timeout, a limited number of times',
  worksIn(
    'PostgreSQL',
    '`lock_timeout` of a role or a database',
    'a transaction is repeated up to six times',
  ),
  async () => {
    const { url, database } = await createDatabaseWithRole({ lock_timeout: `'20ms'` })
    await applyMigrations(url)
    const store = await openTestStore({ url })
    const report = { userId: 'u|1', sessionId: null, at: Date.now(), type: 'reported_logout' }
    try {
      const unlock = await lockTenantRow(database.url)
      const reporting = store.storeReported(report)
      // The first attempt waits for the lock, and fails after lock_timeout.
      await expect.poll(() => findWaitingSessions(database), { interval: 2 }).not.toEqual([])
      await expect.poll(() => findWaitingSessions(database), { interval: 2 }).toEqual([])
      await unlock()
      await expect(reporting).resolves.toBe(report.at)

      const release = await lockTenantRow(database.url)
      const error = await store.storeReported(report).catch((error) => error)
      await release()
      expect(hasCode(error, 'DATABASE_UNAVAILABLE')).toBe(true)
      expect(error.message).toMatch(/SQLSTATE 55P03.*find long transactions/)
    } finally {
      await store.close()
    }
  },
)

test(
  'a write is repeated if PostgreSQL aborts it to resolve a deadlock',
  worksIn('PostgreSQL', 'deadlocks with other programs', 'the transaction is repeated'),
  async () => {
    const { url, database } = await createDatabaseWithRole({})
    await applyMigrations(url)
    const store = await openTestStore({ url })
    await store.storeReported({
      userId: 'u|1',
      sessionId: null,
      at: 1_000,
      type: 'reported_logout',
    })
    const otherSession = new pg.Client({ connectionString: database.url })
    await otherSession.connect()
    try {
      // The other session first locks the user's row, and then waits for the tenant row. PostgreSQL aborts the write of
      // the store, because the other session has the longer deadlock_timeout.
      await otherSession.query(
        `SET deadlock_timeout = '1h'; BEGIN; SELECT FROM last_logout FOR UPDATE`,
      )
      const reporting = store.storeReported({
        userId: 'u|1',
        sessionId: null,
        at: 2_000,
        type: 'reported_logout',
      })
      await expect.poll(() => findWaitingSessions(database), { interval: 2 }).not.toEqual([])
      await otherSession.query('SELECT FROM tenant FOR UPDATE')
      await otherSession.query('COMMIT')
      await expect(reporting).resolves.toBe(2_000)
    } finally {
      await otherSession.end()
      await store.close()
    }
  },
)
