import { type TestContext, test } from 'vitest'
import { openClient } from '../_support/client.js'
import { expectedFromLog } from '../_support/expected-rows.js'
import { startPostgres, type TestPostgres } from '../_support/postgres.js'
import { openProxy, type Proxy as PostgresProxy } from '../_support/proxy.js'
import { runService } from '../_support/running-service.js'
import { openTestStore, readRows } from '../_support/store.js'
import { DOMAIN } from '../_support/tenant.js'
import { WAIT } from '../_support/wait.js'

/** Opens a primary, a replica, and a proxy that forwards connections to the primary. */
async function openServers({
  onTestFinished,
}: TestContext): Promise<{ primary: TestPostgres; replica: TestPostgres; proxy: PostgresProxy }> {
  const primary = await startPostgres()
  onTestFinished(() => primary.remove())
  const replica = await primary.replicate()
  onTestFinished(() => replica.remove())
  const proxy = await openProxy(primary.url)
  onTestFinished(() => proxy.close())
  return { primary, replica, proxy }
}

/** Runs the service, whose connections to PostgreSQL lead through the proxy. */
async function startService(proxy: PostgresProxy, { onTestFinished }: TestContext) {
  const service = await runService({ DATABASE_URL: proxy.url })
  onTestFinished(() => service.close())
  const entries: Record<string, unknown>[] = []
  let userCount = 0
  /**
   * Writes a logout of a new user to the tenant, and waits until the API returns it. Returns the user id, and the time
   * of the wait in milliseconds.
   */
  const logOut = async () => {
    const user = `auth0|${++userCount}`
    entries.push(service.logout(user))
    return { user, ms: await service.waitForLogout(user) }
  }
  return { service, logOut, readExpectedRows: () => expectedFromLog(entries).rows }
}

test.concurrent('a promoted replica takes over, and the service reads logouts that the replica did not receive from the log again', async (context) => {
  const { annotate, expect, onTestFinished } = context
  const { primary, replica, proxy } = await openServers(context)
  const { service, logOut, readExpectedRows } = await startService(proxy, context)
  const client = openClient(service.url)
  onTestFinished(() => client.close())
  const replicated = await logOut()
  await client.ready()
  await expect.poll(() => readUserIdsOf(replica), WAIT).toEqual([replicated.user])
  /** Checks a token that was issued a minute ago. */
  const outcomeOf = (user: string) =>
    client.checkNow({ sub: user, iat: Date.now() / 1000 - 60 }).outcome

  // From here on, the replica receives no commits.
  await replica.stop()
  const lost = await logOut()
  await expect.poll(() => outcomeOf(lost.user), WAIT).toBe('revoked')
  await primary.stop('immediate')
  await replica.start()
  await replica.promote()
  expect(await readUserIdsOf(replica)).toEqual([replicated.user])
  proxy.redirectTo(replica.url)

  await annotate(`lost logout returned again after ${await service.waitForLogout(lost.user)} ms`)
  const afterPromotion = await logOut()
  expect(await readRows(replica)).toEqual(readExpectedRows())
  // The client still has its position in the change feed of the old primary. It receives later changes from the new
  // primary.
  await expect.poll(() => outcomeOf(afterPromotion.user), WAIT).toBe('revoked')
  expect(outcomeOf(lost.user)).toBe('revoked')
}, 60_000)

test.concurrent('the service closes its connections to a demoted primary that still runs', async (context) => {
  const { annotate, expect, onTestFinished } = context
  const { primary, replica, proxy } = await openServers(context)
  const { service, logOut, readExpectedRows } = await startService(proxy, context)
  const replicated = await logOut()
  await expect.poll(() => readUserIdsOf(replica), WAIT).toEqual([replicated.user])
  // The service opens several connections for these concurrent requests.
  await Promise.all(Array.from({ length: 20 }, () => service.requestUser()))
  const reader = await openTestStore(proxy, { domain: DOMAIN }, { maxLifetimeSeconds: 1 })
  onTestFinished(() => reader.close())
  await replica.promote()
  // The old primary refuses writes from here on.
  await primary.query('ALTER SYSTEM SET default_transaction_read_only = on')
  await primary.query('SELECT pg_reload_conf()')
  // The open connections still lead to the old primary until a write fails.
  proxy.redirectTo(replica.url)
  const redirectedAt = performance.now()
  await expect.poll(() => service.reportLogout('auth0|reported'), WAIT).toBe(200)
  await annotate(`report accepted after ${Math.round(performance.now() - redirectedAt)} ms`)
  const afterPromotion = await logOut()
  await annotate(`logout returned after ${afterPromotion.ms} ms`)
  const { users } = await readRows(replica)
  // The log does not contain the logout that was reported to the API.
  expect(users.filter(({ type }) => type === 'slo')).toEqual(readExpectedRows().users)
  // In a process that only reads, no write fails. This process closes its connections at their maximum age.
  const findLogout = async () => (await reader.readKnownLogouts(afterPromotion.user, null)).user
  await expect.poll(findLogout, { timeout: 5_000 }).not.toBeNull()
}, 60_000)

async function readUserIdsOf(server: TestPostgres): Promise<string[]> {
  const rows = await server.query<{ user_id: string }>(
    'SELECT user_id FROM last_logout ORDER BY user_id',
  )
  return rows.map(({ user_id }) => user_id)
}
