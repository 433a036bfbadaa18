import pg from 'pg'
import { afterEach, expect, test } from 'vitest'
import { hasCode } from '../../src/errors.js'
import { migrateQueue } from '../../src/jobs/jobs.js'
import { applyMigrations } from '../../src/store/migrations.js'
import { type PgBouncer, startPgBouncer } from '../_support/pgbouncer.js'
import { type RunningService, runService } from '../_support/running-service.js'
import { openTestStore } from '../_support/store.js'
import { listedAsWorking } from './compatibility.js'
import { createOwnedDatabase, type OwnedDatabase } from './roles.js'

/*
 * Concurrent transactions can fail because of each other: if the default isolation level is strict, after a lock
 * timeout, and in a deadlock. These tests check that no logout is lost then.
 */

/** The isolation levels at which PostgreSQL can abort a transaction because of a concurrent one. */
const ISOLATION_LEVELS = ['repeatable read', 'serializable']

const STREAM_TOKEN = 'a-log-stream-token-of-more-than-32-characters'

/** The number of reported logouts, each of another user. */
const REPORT_COUNT = 150
/** The number of log-stream posts, each with the logout of one user. */
const POST_COUNT = 50
/** The number of users who have both a reported logout and a post. */
const SHARED_COUNT = 25

/** Maximum number of concurrent requests. The API accepts at most five concurrent log-stream posts. */
const CONCURRENCY = { reports: 10, posts: 4 }

/** Options of `expect.poll`, in milliseconds. The interval is short, because one of the waits lasts only 20 ms. */
const LOCK_WAIT = { interval: 2 }

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

/**
 * Creates an empty database. The settings apply to the sessions of its owner. Each value is SQL.
 *
 * @returns `url`: the URL with which the owner connects. `database.url`: that of another user, without the settings.
 */
async function createDatabaseWithSettings(
  settings: Record<string, string>,
): Promise<OwnedDatabase> {
  ownedDatabase = await createOwnedDatabase(settings)
  return ownedDatabase
}

/** Runs functions with limited concurrency. Returns their results in the order of completion. */
async function runConcurrently<T>(runs: (() => Promise<T>)[], concurrency: number): Promise<T[]> {
  const results: T[] = []
  const queue = [...runs]
  const runUntilEmpty = async () => {
    for (let run = queue.shift(); run !== undefined; run = queue.shift()) results.push(await run())
  }
  await Promise.all(Array.from({ length: concurrency }, runUntilEmpty))
  return results
}

test.each([
  ...ISOLATION_LEVELS.map((level) => [level, 'a direct connection'] as const),
  ['serializable', 'PgBouncer'] as const,
])(
  'all concurrent reports and log-stream posts are stored with the default isolation %s over %s',
  {
    ...listedAsWorking(
      'PostgreSQL',
      '`default_transaction_isolation` of a role or a database: repeatable read, serializable',
    ),
    timeout: 60_000,
  },
  async (level, connection) => {
    const { url, database } = await createDatabaseWithSettings({
      default_transaction_isolation: `'${level}'`,
    })
    await applyMigrations(url)
    await migrateQueue(url)
    pooler = connection === 'PgBouncer' ? await startPgBouncer(url) : undefined
    const runningService = await runService({
      DATABASE_URL: pooler?.url ?? url,
      DATABASE_DIRECT_URL: url,
      LOG_STREAM_TOKEN: STREAM_TOKEN,
    })
    service = runningService
    await expect
      .poll(() => runningService.requestStatus('/health/fresh'), { timeout: 20_000 })
      .toBe(200)

    /** Posts a logout of one user like Auth0's log stream. Returns the status. */
    const postLogout = async (n: number) => {
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
      (_, n) => () => postLogout(REPORT_COUNT - SHARED_COUNT + n),
    )
    // The worker reads this logout from the log at the same time. The queue of its jobs is in the same database.
    const writtenLogout = runningService.logout('auth0|read')
    const statuses = await Promise.all([
      runConcurrently(posts, CONCURRENCY.posts),
      runConcurrently(reports, CONCURRENCY.reports),
    ])
    expect(statuses.flat().filter((status) => status >= 300)).toEqual([])
    const users = await database.query(`SELECT FROM last_logout WHERE user_id LIKE 'u|%'`)
    expect(users).toHaveLength(REPORT_COUNT + POST_COUNT - SHARED_COUNT)
    await runningService.waitForLogout(String(writtenLogout.user_id))
    expect(runningService.countLines('error', /./)).toBe(0)
    expect(runningService.countLines('warn', /queue/)).toBe(0)
  },
)

test.each(ISOLATION_LEVELS)(
  'three concurrent runs together apply each migration once with the default isolation %s',
  async (level) => {
    const { url } = await createDatabaseWithSettings({
      default_transaction_isolation: `'${level}'`,
    })
    const run = () => applyMigrations(url)
    const appliedNames = (await Promise.all([run(), run(), run()])).flat()
    expect(appliedNames).not.toEqual([])
    expect(appliedNames).toHaveLength(new Set(appliedNames).size)
    await Promise.all([migrateQueue(url), migrateQueue(url), migrateQueue(url)])
  },
)

/** Locks the tenant row in another session. Every write needs this lock. Returns a function that releases it. */
async function lockTenantRow(url: string): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query('BEGIN; SELECT FROM tenant FOR UPDATE')
  return () => client.end()
}

/** Returns one empty row for each session that waits for a lock. */
function findWaitingSessions(database: OwnedDatabase['database']): Promise<unknown[]> {
  return database.query(`SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'`)
}

test(
  'a write that reaches lock_timeout is repeated, and fails if the lock is not released',
  listedAsWorking(
    'PostgreSQL',
    '`lock_timeout` of a role or a database',
    'a transaction is repeated up to six times',
  ),
  async () => {
    const { url, database } = await createDatabaseWithSettings({ lock_timeout: `'20ms'` })
    await applyMigrations(url)
    const store = await openTestStore({ url })
    const logout = { userId: 'u|1', sessionId: null, at: Date.now(), type: 'reported_logout' }
    try {
      const unlock = await lockTenantRow(database.url)
      const reporting = store.storeReported(logout)
      // The first attempt waits for the lock. After lock_timeout, it fails, so no session waits until the next attempt.
      await expect.poll(() => findWaitingSessions(database), LOCK_WAIT).not.toEqual([])
      await expect.poll(() => findWaitingSessions(database), LOCK_WAIT).toEqual([])
      await unlock()
      await expect(reporting).resolves.toBe(logout.at)

      const unlockAgain = await lockTenantRow(database.url)
      const error = await store.storeReported(logout).catch((error) => error)
      await unlockAgain()
      expect(hasCode(error, 'DATABASE_UNAVAILABLE')).toBe(true)
      // 55P03 is `lock_not_available`.
      expect(error.message).toMatch(/SQLSTATE 55P03.*find long transactions/)
    } finally {
      await store.close()
    }
  },
)

test(
  'a write is repeated if PostgreSQL aborts it to resolve a deadlock',
  listedAsWorking('PostgreSQL', 'deadlocks with other programs', 'the transaction is repeated'),
  async () => {
    const { url, database } = await createDatabaseWithSettings({})
    await applyMigrations(url)
    const store = await openTestStore({ url })
    const logout = { userId: 'u|1', sessionId: null, at: 1_000, type: 'reported_logout' }
    await store.storeReported(logout)
    const otherSession = new pg.Client({ connectionString: database.url })
    await otherSession.connect()
    try {
      // The other session locks the user's row. The write of the store locks the tenant row, and then waits for the
      // user's row. When the other session also waits for the tenant row, this is a deadlock. A waiting session checks
      // for a deadlock after its deadlock_timeout, which is longer in the other session, so PostgreSQL aborts the
      // write.
      await otherSession.query(
        `SET deadlock_timeout = '1h'; BEGIN; SELECT FROM last_logout FOR UPDATE`,
      )
      const reporting = store.storeReported({ ...logout, at: 2_000 })
      await expect.poll(() => findWaitingSessions(database), LOCK_WAIT).not.toEqual([])
      await otherSession.query('SELECT FROM tenant FOR UPDATE')
      await otherSession.query('COMMIT')
      await expect(reporting).resolves.toBe(2_000)
    } finally {
      await otherSession.end()
      await store.close()
    }
  },
)
