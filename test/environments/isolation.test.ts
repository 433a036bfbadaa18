import pg from 'pg'
import { afterEach, expect, test } from 'vitest'
import { hasCode } from '../../src/errors.js'
import { migrateQueue } from '../../src/jobs/jobs.js'
import { applyMigrations } from '../../src/store/migrations.js'
import { type PgBouncer, startPgBouncer } from '../_support/pgbouncer.js'
import { type RunningService, runService } from '../_support/running-service.js'
import { openTestStore } from '../_support/store.js'
import { works } from './compatibility.js'
import { createOwnedDatabase, type OwnedDatabase } from './roles.js'

const LEVELS = ['repeatable read', 'serializable']
const STREAM_TOKEN = 'a-log-stream-token-of-more-than-32-characters'
const REPORTS = 150
const POSTS = 50
/** The API accepts five log-stream posts at a time. */
const CONCURRENCY = { reports: 10, posts: 4 }

let owned: OwnedDatabase | undefined
let service: RunningService | undefined
let pooler: PgBouncer | undefined
afterEach(async () => {
  await service?.close()
  service = undefined
  await pooler?.close()
  pooler = undefined
  await owned?.drop()
  owned = undefined
})

async function openRole(settings: Record<string, string>): Promise<OwnedDatabase> {
  owned = await createOwnedDatabase(settings)
  return owned
}

/** Runs functions with a limited concurrency. Returns their results. */
async function runConcurrently<T>(runs: (() => Promise<T>)[], concurrency: number): Promise<T[]> {
  const results: T[] = []
  const queue = [...runs]
  const work = async () => {
    for (let run = queue.shift(); run !== undefined; run = queue.shift()) results.push(await run())
  }
  await Promise.all(Array.from({ length: concurrency }, work))
  return results
}

test.each([
  ...LEVELS.map((level) => [level, 'directly'] as const),
  ['serializable', 'by PgBouncer'] as const,
])(
  'concurrent reports and log-stream posts are all stored while the default isolation is %s, connected %s',
  {
    ...works(
      'PostgreSQL',
      '`default_transaction_isolation` of a role or a database: repeatable read, serializable',
    ),
    timeout: 60_000,
  },
  async (level, way) => {
    const { url, database } = await openRole({ default_transaction_isolation: `'${level}'` })
    await applyMigrations(url)
    await migrateQueue(url)
    pooler = way === 'directly' ? undefined : await startPgBouncer(url)
    service = await runService({
      DATABASE_URL: pooler?.url ?? url,
      DATABASE_DIRECT_URL: url,
      LOG_STREAM_TOKEN: STREAM_TOKEN,
    })
    const running = service
    await expect.poll(() => running.requestStatus('/health/fresh'), { timeout: 20_000 }).toBe(200)

    const post = async (n: number) => {
      // Half of the posts are about the same user as a report.
      const entry = {
        type: 'slo',
        date: new Date().toISOString(),
        log_id: `L${n}`,
        user_id: `u|${n}`,
      }
      const { status } = await fetch(`${running.url}/v1/log-stream`, {
        method: 'POST',
        headers: { authorization: STREAM_TOKEN, 'content-type': 'application/json' },
        body: JSON.stringify([entry]),
      })
      return status
    }
    const reports = Array.from({ length: REPORTS }, (_, n) => () => running.reportLogout(`u|${n}`))
    const posts = Array.from({ length: POSTS }, (_, n) => () => post(REPORTS - POSTS / 2 + n))
    const read = running.logout('auth0|read')
    const statuses = await Promise.all([
      runConcurrently(posts, CONCURRENCY.posts),
      runConcurrently(reports, CONCURRENCY.reports),
    ])
    expect(statuses.flat().filter((status) => status >= 300)).toEqual([])
    const users = await database.query(`SELECT FROM last_logout WHERE user_id LIKE 'u|%'`)
    expect(users).toHaveLength(REPORTS + POSTS / 2)
    // The worker polls at the same time, over its queue in the same database.
    await running.waitForLogout(String(read.user_id))
    expect(running.countLines('error', /./)).toBe(0)
    expect(running.countLines('warn', /queue/)).toBe(0)
  },
)

test.each(LEVELS)(
  'concurrent migrations are applied once while the default isolation is %s',
  async (level) => {
    const { url } = await openRole({ default_transaction_isolation: `'${level}'` })
    const runs = await Promise.all([1, 2, 3].map(() => applyMigrations(url)))
    expect(runs.flat()).toHaveLength(new Set(runs.flat()).size)
    expect(runs.flat()).not.toEqual([])
    await Promise.all([1, 2, 3].map(() => migrateQueue(url)))
  },
)

/** Locks the tenant row from another session. Resolves to a function that releases it. */
async function lockTenantRow(url: string): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query('BEGIN; SELECT FROM tenant FOR UPDATE')
  return () => client.end()
}

/** Sessions that wait for a lock. */
function findWaiting(database: OwnedDatabase['database']): Promise<unknown[]> {
  return database.query(`SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'`)
}

test(
  'a write waits for another session beyond lock_timeout, for a bounded number of retries',
  works(
    'PostgreSQL',
    '`lock_timeout` of a role or a database',
    'a transaction is repeated up to six times',
  ),
  async () => {
    const { url, database } = await openRole({ lock_timeout: `'20ms'` })
    await applyMigrations(url)
    const store = await openTestStore({ url })
    const report = { userId: 'u|1', sessionId: null, at: Date.now(), type: 'reported_logout' }
    try {
      const unlock = await lockTenantRow(database.url)
      const reporting = store.storeReported(report)
      // The first attempt waits for the lock, and gives up.
      await expect.poll(() => findWaiting(database), { interval: 2 }).not.toEqual([])
      await expect.poll(() => findWaiting(database), { interval: 2 }).toEqual([])
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
  'a write that PostgreSQL ends to resolve a deadlock is repeated',
  works('PostgreSQL', 'deadlocks with other programs', 'the transaction is repeated'),
  async () => {
    const { url, database } = await openRole({})
    await applyMigrations(url)
    const store = await openTestStore({ url })
    await store.storeReported({
      userId: 'u|1',
      sessionId: null,
      at: 1_000,
      type: 'reported_logout',
    })
    const other = new pg.Client({ connectionString: database.url })
    await other.connect()
    try {
      // The other session locks the user's row first, and then waits for the tenant row. It never gives up first.
      await other.query(`SET deadlock_timeout = '1h'; BEGIN; SELECT FROM last_logout FOR UPDATE`)
      const reporting = store.storeReported({
        userId: 'u|1',
        sessionId: null,
        at: 2_000,
        type: 'reported_logout',
      })
      await expect.poll(() => findWaiting(database), { interval: 2 }).not.toEqual([])
      await other.query('SELECT FROM tenant FOR UPDATE')
      await other.query('COMMIT')
      await expect(reporting).resolves.toBe(2_000)
    } finally {
      await other.end()
      await store.close()
    }
  },
)
