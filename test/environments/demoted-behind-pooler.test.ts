import { setTimeout as sleep } from 'node:timers/promises'
import { type TestContext, test } from 'vitest'
import { fold } from '../../src/rules/fold.js'
import { startPgBouncer } from '../_support/pgbouncer.js'
import { startPostgres } from '../_support/postgres.js'
import { openProxy } from '../_support/proxy.js'
import { openTestStore } from '../_support/store.js'
import { DOMAIN } from '../_support/tenant.js'
import { listedAsWorking } from './compatibility.js'

/** The user whose logout is stored only after the failover. */
const USER_ID = 'auth0|after the failover'

/** A server_lifetime that is longer than the test, in seconds: PgBouncer keeps its connections. */
const ONE_HOUR_SECONDS = 3_600

/** For how long the test expects every read to be stale while PgBouncer keeps its connections, in milliseconds. */
const STALE_DURATION_MS = 5_000

/**
 * Starts a store that reads from a primary through PgBouncer, and then replaces the primary. The demoted primary still
 * runs, but the address of the database now leads to the new primary. Only the new primary contains a logout of
 * {@link USER_ID}, so a read that does not find it is stale.
 *
 * @param serverLifetimeSeconds The setting server_lifetime: the maximum age of PgBouncer's connections to PostgreSQL.
 * @returns PgBouncer, and a function with which the store reads the logout; `null`: not found.
 */
async function failOver({ onTestFinished }: TestContext, serverLifetimeSeconds: number) {
  const demotedPrimary = await startPostgres()
  onTestFinished(() => demotedPrimary.remove())
  const newPrimary = await demotedPrimary.replicate()
  onTestFinished(() => newPrimary.remove())
  // A proxy whose URL is the address of the database. It forwards to the demoted or to the new primary.
  const address = await openProxy(demotedPrimary.url)
  onTestFinished(() => address.close())
  const pooler = await startPgBouncer(address.url, { server_lifetime: serverLifetimeSeconds })
  onTestFinished(() => pooler.close())
  // The store replaces its connections every second, so only connections of PgBouncer can lead to the old primary.
  const reader = await openTestStore(pooler, { domain: DOMAIN }, { maxLifetimeSeconds: 1 })
  onTestFinished(() => reader.close())
  const findLogout = async () => (await reader.readKnownLogouts(USER_ID, null)).user
  await makeStoreStopPreparing(findLogout)

  await newPrimary.promote()
  // After a failover, the demoted primary accepts only reads.
  await demotedPrimary.query('ALTER SYSTEM SET default_transaction_read_only = on')
  await demotedPrimary.query('SELECT pg_reload_conf()')
  address.redirectTo(newPrimary.url)
  await writeLogout(newPrimary.url)
  return { pooler, findLogout }
}

/**
 * Makes the store stop using prepared statements.
 *
 * The store reads over two connections, one after the other, and prepares the same statement over each. PgBouncer
 * forwards both to one connection to PostgreSQL, which refuses the second statement because its name already exists.
 * After this error, the store prepares no more statements.
 *
 * The error must not occur after the failover: it may make PgBouncer close its connection, which would hide the stale
 * reads.
 */
async function makeStoreStopPreparing(read: () => Promise<unknown>): Promise<void> {
  await read()
  // The store replaces its connection after a second (`maxLifetimeSeconds`).
  await sleep(1_100)
  await read()
}

test.concurrent('reads through PgBouncer are stale while it keeps its connections to a demoted primary', async (context) => {
  const { expect } = context
  const { pooler, findLogout } = await failOver(context, ONE_HOUR_SECONDS)
  const deadline = performance.now() + STALE_DURATION_MS
  while (performance.now() < deadline) {
    expect(await findLogout()).toBeNull()
    await sleep(100)
  }
  // `RECONNECT` closes the connections of PgBouncer.
  await pooler.command('RECONNECT')
  await expect.poll(findLogout, { timeout: 5_000 }).not.toBeNull()
}, 60_000)

test.concurrent('with a server_lifetime of 2 s, reads through PgBouncer find the logout within 10 s after the failover', {
  ...listedAsWorking(
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
  const event = { logId: 'L1', type: 'slo', at: Date.now(), userId: USER_ID, sessionId: null }
  await store.storeBatch({ ...fold([event]), unattributable: [] })
  await store.close()
}
