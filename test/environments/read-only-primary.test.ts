import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { startPostgres, type TestPostgres } from '../_support/postgres.js'
import { runService } from '../_support/running-service.js'
import { WAIT } from '../_support/wait.js'
import { listedAsWorking } from './compatibility.js'

/**
 * How long the test counts transactions, in milliseconds. During this time, the watchdog, which checks that the queue
 * works, runs at least twice.
 */
const COUNT_DURATION_MS = 8_000

test('while the primary is read-only, the service sends it few queries, and polls of the log continue when it is writable again', {
  ...listedAsWorking(
    'PostgreSQL poolers and replicas',
    'a primary that turns read-only',
    'the queue retries a few times per second, and continues by itself',
  ),
  timeout: 60_000,
}, async ({ annotate, onTestFinished }) => {
  const postgres = await startPostgres()
  onTestFinished(() => postgres.remove())
  const service = await runService({ DATABASE_URL: postgres.url })
  onTestFinished(() => service.close())
  service.logout('auth0|before')
  await service.waitForLogout('auth0|before')

  await setReadOnly(postgres, true)
  await expect.poll(() => service.countLines('warn', /^job queue unavailable$/), WAIT).toBe(1)
  // PostgreSQL updates the statistics of a session with a delay of up to a second.
  await sleep(1_500)
  const { transactionsPerSecond, failedPerSecond } = await measureTransactions(postgres)
  await annotate(
    `${transactionsPerSecond} transactions a second, of which ${failedPerSecond} failed`,
  )
  expect(transactionsPerSecond).toBeLessThan(10)
  expect(failedPerSecond).toBeLessThan(1)

  service.logout('auth0|meanwhile')
  await setReadOnly(postgres, false)
  await annotate(
    `the service polls again after ${await service.waitForLogout('auth0|meanwhile')} ms`,
  )
  await expect.poll(() => service.countLines('info', /^job queue restored$/), WAIT).toBe(1)
  expect(service.countLines('warn', /^job queue/)).toBe(1)
})

/** Makes all sessions of a server read-only, or writable again. */
async function setReadOnly({ query }: TestPostgres, isReadOnly: boolean): Promise<void> {
  // A read-only session can change settings of the server.
  await query(`ALTER SYSTEM SET default_transaction_read_only = ${isReadOnly ? 'on' : 'off'}`)
  await query('SELECT pg_reload_conf()')
}

/** Counts the transactions of the service's database. Returns all and the failed ones per second, with one decimal. */
async function measureTransactions({ query }: TestPostgres) {
  /** Reads how many transactions have ended since the server started. */
  const readCounts = async () => {
    const [row] = await query<{ committed: number; failed: number }>(
      `SELECT xact_commit::integer AS committed, xact_rollback::integer AS failed
       FROM pg_stat_database WHERE datname = current_database()`,
    )
    return row ?? { committed: 0, failed: 0 }
  }
  const countsBefore = await readCounts()
  await sleep(COUNT_DURATION_MS)
  const countsAfter = await readCounts()
  const perSecond = (count: number) => Number((count / (COUNT_DURATION_MS / 1_000)).toFixed(1))
  const committed = countsAfter.committed - countsBefore.committed
  const failed = countsAfter.failed - countsBefore.failed
  return {
    transactionsPerSecond: perSecond(committed + failed),
    failedPerSecond: perSecond(failed),
  }
}
