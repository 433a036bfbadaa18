import { setTimeout as sleep } from 'node:timers/promises'
import { type TestContext, test } from 'vitest'
import { fold } from '../../src/rules/fold.js'
import { startPgBouncer } from '../_support/pgbouncer.js'
import { startPostgres } from '../_support/postgres.js'
import { openProxy } from '../_support/proxy.js'
import { openTestStore } from '../_support/store.js'
import { DOMAIN } from '../_support/tenant.js'
import { worksIn } from './compatibility.js'

const USER_ID = 'auth0|after the failover'

/**
 * Replaces the primary that a store reads through PgBouncer. The demoted primary still runs, but the address of the
 * database now leads to the new primary. Only the new primary contains a logout of {@link USER_ID}.
 *
 * @param server_lifetime The setting of PgBouncer: the maximum age of its connections to PostgreSQL, in seconds.
 */
async function failOver({ onTestFinished }: TestContext, server_lifetime: number) {
  const demotedPrimary = await startPostgres()
  onTestFinished(() => demotedPrimary.remove())
  const newPrimary = await demotedPrimary.replicate()
  onTestFinished(() => newPrimary.remove())
  const address = await openProxy(demotedPrimary.url)
  onTestFinished(() => address.close())
  const pooler = await startPgBouncer(address.url, { server_lifetime })
  onTestFinished(() => pooler.close())
  // The store replaces its connections every second, so only connections of PgBouncer can lead to the old primary.
  const reader = await openTestStore(pooler, { domain: DOMAIN }, { maxLifetimeSeconds: 1 })
  onTestFinished(() => reader.close())
  const findLogout = async () => (await reader.readKnownLogouts(USER_ID, null)).user
  await makeStoreStopPreparing(findLogout)

  await newPrimary.promote()
  await demotedPrimary.query('ALTER SYSTEM SET default_transaction_read_only = on')
  await demotedPrimary.query('SELECT pg_reload_conf()')
  address.redirectTo(newPrimary.url)
  await writeLogout(newPrimary.url)
  return { pooler, findLogout }
}

/**
 * Makes the store stop using prepared statements, before the failover. The store prepares a statement over one
 * connection, and then over a second one. PgBouncer gives both the same connection to PostgreSQL, where the name of the
 * statement then exists already. After this error, the store prepares no more statements. PgBouncer may close its
 * connection because of the error, and during the failover this would hide the stale reads.
 */
async function makeStoreStopPreparing(read: () => Promise<unknown>): Promise<void> {
  await read()
  // The store replaces its connection after a second.
  await sleep(1_100)
  await read()
}

test.concurrent('reads are stale while PgBouncer keeps its connections to a demoted primary', async (context) => {
  const { expect } = context
  const { pooler, findLogout } = await failOver(context, 3_600)
  // For five seconds, every read misses the logout.
  for (const deadline = performance.now() + 5_000; performance.now() < deadline; await sleep(100)) {
    expect(await findLogout()).toBeNull()
  }
  // `RECONNECT` closes the connections of PgBouncer.
  await pooler.command('RECONNECT')
  await expect.poll(findLogout, { timeout: 5_000 }).not.toBeNull()
}, 60_000)

test.concurrent('if server_lifetime is 2 s, reads behind PgBouncer are stale only for a short time', {
  ...worksIn(
    'PostgreSQL poolers and replicas',
    'PgBouncer in front of a primary that is demoted',
    'reads are stale for at most `server_lifetime`',
  ),
  timeout: 60_000,
}, async (context) => {
  const { annotate, expect } = context
  const { findLogout } = await failOver(context, 2)
  const staleFrom = performance.now()
  await expect.poll(findLogout, { timeout: 10_000 }).not.toBeNull()
  await annotate(`stale for ${Math.round(performance.now() - staleFrom)} ms`)
})

/** Stores a logout of {@link USER_ID} over a direct connection. */
async function writeLogout(url: string): Promise<void> {
  const store = await openTestStore({ url }, { domain: DOMAIN })
  const at = Date.now() - 60_000
  const event = { logId: USER_ID, type: 'slo', at, userId: USER_ID, sessionId: null }
  await store.storeBatch({ ...fold([event]), unattributable: [] })
  await store.close()
}
