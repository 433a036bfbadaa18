import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { withClient } from '../../src/pg/client.js'
import { finishCommandLine } from '../_support/command-line.js'
import { startPostgres } from '../_support/postgres.js'
import { runService } from '../_support/running-service.js'
import { openTenant, tenantEnv } from '../_support/tenant.js'
import { listedAsWorking } from './compatibility.js'

/*
 * PostgreSQL stores the notifications of NOTIFY in one queue, until all listening sessions have read them. A listening
 * session cannot read them while it has an open transaction. The queue then becomes full, and all transactions that
 * send a notification fail. The writes of last-logout send notifications.
 */

/** The SQLSTATE program_limit_exceeded, with which NOTIFY fails if the queue is full. */
const QUEUE_FULL = '54000'

test('doctor reports a full notification queue and how to end the session that blocks it, and empties the queue after that session has ended', {
  ...listedAsWorking('PostgreSQL', 'a full notification queue', '`doctor` reports and frees it'),
  timeout: 60_000,
}, async () => {
  // The queue of this server has 64 pages of 8 KB: half a megabyte instead of the default of eight gigabytes.
  const postgres = await startPostgres({ max_notify_queue_pages: '64' })
  onTestFinished(() => postgres.remove())
  const service = await runService({ DATABASE_URL: postgres.url })
  onTestFinished(service.close)
  expect(await service.reportLogout('auth0|before')).toBe(200)
  const testTenant = await openTenant()
  onTestFinished(testTenant.close)
  /** Runs `doctor`. Returns its check of the notifications. */
  const runNotificationCheck = async () => {
    const env = { ...tenantEnv(testTenant.simulator), DATABASE_URL: postgres.url }
    const { stdout } = await finishCommandLine(['doctor', '--json'], env)
    const { checks } = JSON.parse(stdout) as { checks: { name: string }[] }
    return checks.find(({ name }) => name === 'notifications')
  }

  const listener = new pg.Client({ connectionString: postgres.url })
  listener.on('error', () => {})
  await listener.connect()
  await listener.query('LISTEN something')
  // The open transaction blocks the queue.
  await listener.query('BEGIN; SELECT')
  await withClient(postgres.url, fillQueue)
  expect(await service.reportLogout('auth0|full')).toBeGreaterThanOrEqual(500)
  expect(await runNotificationCheck()).toMatchObject({
    status: 'failure',
    message: expect.stringMatching(
      /^the notification queue of PostgreSQL is (9\d|100) % full\. When it is full, every write fails$/,
    ),
    advice: expect.stringContaining('pg_terminate_backend'),
  })

  await listener.end()
  // PostgreSQL does not empty the queue by itself when the session ends.
  expect(await service.reportLogout('auth0|still full')).toBeGreaterThanOrEqual(500)
  expect(await runNotificationCheck()).toMatchObject({
    status: 'ok',
    message: expect.stringMatching(/^received; the notification queue of PostgreSQL is \d % full$/),
  })
  expect(await service.reportLogout('auth0|freed')).toBe(200)
})

/** Sends notifications until the queue is full. Each has almost the maximum length, which is 8,000 bytes. */
async function fillQueue(client: pg.Client): Promise<void> {
  const fill = async () => {
    for (;;) await client.query("SELECT pg_notify('anything', repeat('x', 7000))")
  }
  await expect(fill()).rejects.toMatchObject({ code: QUEUE_FULL })
}
