import { setTimeout as sleep } from 'node:timers/promises'
import { describe, test } from 'vitest'
import { createJobs, migrateQueue } from '../../src/jobs/jobs.js'
import { assertQueueUsable, createQueuePool } from '../../src/jobs/postgres.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openProxy, READY_FOR_QUERY } from '../_support/proxy.js'
import { WAIT } from '../_support/wait.js'
import {
  type Context,
  createTestJob,
  createTestLog,
  forbidConsole,
  startJobs,
  uniquePrefix,
  waitForStarts,
} from './fixture.js'

forbidConsole()

/** Creates a database, with the tables of the queue or empty (`template0`), and drops it after the test. */
async function openDatabase(
  { onTestFinished }: Context,
  template: 'migrated' | 'template0' = 'migrated',
): Promise<TestDatabase> {
  const database = await createTestDatabase(template)
  onTestFinished(() => database.drop())
  return database
}

describe.concurrent('a queue in PostgreSQL', () => {
  const prefix = uniquePrefix()

  test('createJobs rejects if the tables of the queue are missing or too old', async (context) => {
    const { expect } = context
    const { url, query } = await openDatabase(context, 'template0')
    const connection = { kind: 'postgres', url } as const
    const { log } = createTestLog()
    const create = () => createJobs({ connection, prefix, jobs: [], log })
    await expect(create()).rejects.toMatchObject({ code: 'DATABASE_NOT_MIGRATED' })
    await migrateQueue(url)
    // A second migration changes nothing.
    await migrateQueue(url)
    await (await create()).close()
    // Without its later migrations, the queue counts as too old.
    await query('DELETE FROM bullmq.migration WHERE version > 1')
    await expect(create()).rejects.toMatchObject({ code: 'DATABASE_NOT_MIGRATED' })
  })

  test('jobs start when PostgreSQL becomes available, and no log line contains the password', async (context) => {
    const { expect, onTestFinished } = context
    const { url } = await openDatabase(context)
    // No server listens on port 1, so every connection fails until `redirectTo` is called.
    const proxy = await openProxy('postgres://127.0.0.1:1')
    onTestFinished(() => proxy.close())
    // The credentials of the database, and the host of the proxy.
    const proxyUrl = Object.assign(new URL(url), { host: new URL(proxy.url).host })
    const connection = { kind: 'postgres', url: proxyUrl.href } as const
    const { log, lines, text } = createTestLog()
    const job = createTestJob(100)
    await startJobs(context, { connection, prefix, jobs: [job], log })
    expect(lines('warn')).toMatchObject([
      {
        msg: 'job queue unavailable',
        advice: expect.stringContaining(
          'check that PostgreSQL runs and is reachable from this host, and that DATABASE_DIRECT_URL is correct, or DATABASE_URL if only that is set',
        ),
      },
    ])
    proxy.redirectTo(url)
    await waitForStarts(job)
    await expect.poll(() => lines('info'), WAIT).toMatchObject([{ msg: 'job queue restored' }])
    expect(text()).not.toContain(proxyUrl.password)
  })

  test('assertQueueUsable rejects after its timeout if the server becomes unresponsive between any two responses', async (context) => {
    const { expect, onTestFinished } = context
    const { url } = await openDatabase(context)
    // The proxy freezes after it has forwarded this number of responses. assertQueueUsable sends fewer than 20 queries.
    const outcomes = [1, 2, 3, 4, 5, 20].map(async (responsesBeforeFreeze) => {
      const proxy = await openProxy(url, READY_FOR_QUERY, responsesBeforeFreeze)
      onTestFinished(() => proxy.close())
      return assertQueueUsable(proxy.url, 1_000).then(
        () => 'usable',
        () => 'unresponsive',
      )
    })
    expect(await Promise.all(outcomes)).toEqual(expect.arrayContaining(['usable', 'unresponsive']))
  })

  test('jobs continue after the loss of all connections, and the loss is logged once', async (context) => {
    const { expect } = context
    const { url, query } = await openDatabase(context)
    const { log, lines } = createTestLog()
    const job = createTestJob(100)
    await startJobs(context, { connection: { kind: 'postgres', url }, prefix, jobs: [job], log })
    await waitForStarts(job)
    await query(`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid()`)
    await waitForStarts(job, 5)
    await expect.poll(() => lines('info'), WAIT).toHaveLength(1)
    expect(lines('warn')).toHaveLength(1)
  })

  test('the worker waits before it repeats a statement that PostgreSQL refuses', async (context) => {
    const { annotate, expect } = context
    const { url, query } = await openDatabase(context)
    const { log, lines } = createTestLog()
    const job = createTestJob(100)
    await startJobs(context, { connection: { kind: 'postgres', url }, prefix, jobs: [job], log })
    await waitForStarts(job)
    // Without this table, PostgreSQL refuses the statements of the worker.
    await query('ALTER TABLE bullmq.job RENAME TO renamed_job')
    await expect.poll(() => lines('warn'), WAIT).toHaveLength(1)
    // PostgreSQL rolls back the transaction of each failed statement.
    const countFailedStatements = async () => {
      const [row] = await query<{ failed: number }>(
        'SELECT xact_rollback::integer AS failed FROM pg_stat_database WHERE datname = current_database()',
      )
      return row?.failed ?? 0
    }
    const failedBefore = await countFailedStatements()
    await sleep(2_000)
    const failedStatements = (await countFailedStatements()) - failedBefore
    await annotate(`${failedStatements} statements failed in 2 s`)
    // Some statements fail: several loops of the worker retry, and the watchdog checks the schedule every half second.
    // Without delays, more than 200 statements would fail.
    expect(failedStatements).toBeLessThan(60)
    await query('ALTER TABLE bullmq.renamed_job RENAME TO job')
    await waitForStarts(job, 5)
    await expect.poll(() => lines('info'), WAIT).toMatchObject([{ msg: 'job queue restored' }])
    expect(lines('warn')).toHaveLength(1)
  })

  test('the pool of the queue runs queries after a connection in use was lost', async (context) => {
    const { expect, onTestFinished } = context
    const { url, query } = await openDatabase(context)
    const pool = createQueuePool(url)
    onTestFinished(() => pool.end())
    const client = await pool.connect()
    // `once` of node:events would also handle the event `error`, which must have no listener in this test.
    const whenEnded = new Promise<void>((resolve) => client.once('end', resolve))
    const { rows } = await client.query('SELECT pg_backend_pid() AS pid')
    await query('SELECT pg_terminate_backend($1)', [rows[0].pid])
    await whenEnded
    // `true` removes the connection from the pool.
    client.release(true)
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
  })
})
