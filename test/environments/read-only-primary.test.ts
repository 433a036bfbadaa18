import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { startPostgres, type TestPostgres } from '../_support/postgres.js'
import { runService } from '../_support/running-service.js'
import { WAIT } from '../_support/wait.js'
import { works } from './compatibility.js'

/** How long transactions are counted, in milliseconds: two checks of the queue, and more. */
const COUNTED_MS = 8_000

test('a primary that turns read-only is asked a few times a second, and polls continue when it is writable', {
  ...works(
    'PostgreSQL poolers and replicas',
    'a primary that turns read-only',
    'the queue asks a few times a second, and continues by itself',
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
  // The statistics of a session arrive up to a second late.
  await sleep(1_500)
  const { transactions, failed } = await countTransactions(postgres)
  await annotate(`${transactions} transactions a second, of which ${failed} failed`)
  expect(transactions).toBeLessThan(10)
  expect(failed).toBeLessThan(1)

  service.logout('auth0|meanwhile')
  await setReadOnly(postgres, false)
  await annotate(`polls again after ${await service.waitForLogout('auth0|meanwhile')} ms`)
  await expect.poll(() => service.countLines('info', /^job queue restored$/), WAIT).toBe(1)
  expect(service.countLines('warn', /^job queue/)).toBe(1)
})

async function setReadOnly({ query }: TestPostgres, on: boolean): Promise<void> {
  // A session that is read-only can still change settings of the server.
  await query(`ALTER SYSTEM SET default_transaction_read_only = ${on ? 'on' : 'off'}`)
  await query('SELECT pg_reload_conf()')
}

/** Transactions per second, without those of the count itself. */
async function countTransactions({ query }: TestPostgres) {
  const read = async () => {
    const [row] = await query<{ committed: number; failed: number }>(
      `SELECT xact_commit::integer AS committed, xact_rollback::integer AS failed
       FROM pg_stat_database WHERE datname = current_database()`,
    )
    return row ?? { committed: 0, failed: 0 }
  }
  const first = await read()
  await sleep(COUNTED_MS)
  const last = await read()
  const perSecond = (count: number) => Math.round((count / COUNTED_MS) * 10_000) / 10
  const failed = last.failed - first.failed
  return {
    transactions: perSecond(last.committed - first.committed + failed),
    failed: perSecond(failed),
  }
}
