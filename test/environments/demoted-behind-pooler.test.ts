import { setTimeout as sleep } from 'node:timers/promises'
import { type TestContext, test } from 'vitest'
import { fold } from '../../src/rules/fold.js'
import { startPgBouncer } from '../_support/pgbouncer.js'
import { startPostgres } from '../_support/postgres.js'
import { openProxy } from '../_support/proxy.js'
import { openTestStore } from '../_support/store.js'
import { DOMAIN } from '../_support/tenant.js'
import { works } from './compatibility.js'

const USER = 'auth0|after the failover'

/**
 * Reads through PgBouncer from a primary that is demoted, but still runs. The address of the database then leads to
 * the new primary, which alone has a logout of {@link USER}.
 */
async function failOver({ onTestFinished }: TestContext, server_lifetime: number) {
  const old = await startPostgres()
  onTestFinished(() => old.remove())
  const next = await old.replicate()
  onTestFinished(() => next.remove())
  const address = await openProxy(old.url)
  onTestFinished(() => address.close())
  const pooler = await startPgBouncer(address.url, { server_lifetime })
  onTestFinished(() => pooler.close())
  // Its own connections end every second: only those of PgBouncer can be old.
  const reader = await openTestStore(pooler, { domain: DOMAIN }, { maxLifetimeSeconds: 1 })
  onTestFinished(() => reader.close())

  await next.promote()
  await old.query('ALTER SYSTEM SET default_transaction_read_only = on')
  await old.query('SELECT pg_reload_conf()')
  address.redirectTo(next.url)
  await writeLogout(next.url)
  return {
    pooler,
    findLogout: async () => (await reader.readKnown(USER, null)).user,
  }
}

test.concurrent('PgBouncer keeps its connections to a demoted primary for server_lifetime: reads are stale', async (context) => {
  const { expect } = context
  const { pooler, findLogout } = await failOver(context, 3_600)
  for (const until = performance.now() + 5_000; performance.now() < until; await sleep(100)) {
    expect(await findLogout()).toBeNull()
  }
  // Its command RECONNECT closes them.
  await pooler.command('RECONNECT')
  await expect.poll(findLogout, { timeout: 5_000 }).not.toBeNull()
}, 60_000)

test.concurrent('a short server_lifetime bounds how long reads are stale', {
  ...works(
    'PostgreSQL poolers and replicas',
    'PgBouncer before a primary that is demoted',
    'reads are stale for at most `server_lifetime`',
  ),
  timeout: 60_000,
}, async (context) => {
  const { annotate, expect } = context
  const { findLogout } = await failOver(context, 2)
  const startedAt = performance.now()
  await expect.poll(findLogout, { timeout: 10_000 }).not.toBeNull()
  await annotate(`stale for ${Math.round(performance.now() - startedAt)} ms`)
})

async function writeLogout(url: string): Promise<void> {
  const store = await openTestStore({ url }, { domain: DOMAIN })
  const at = Date.now() - 60_000
  const event = { logId: USER, type: 'slo', at, userId: USER, sessionId: null }
  await store.storeBatch({ ...fold([event]), unattributable: [] })
  await store.close()
}
