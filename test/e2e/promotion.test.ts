import { type TestContext, test } from 'vitest'
import { openClient } from '../_support/client.js'
import { expectedFromLog } from '../_support/expected-rows.js'
import { startPostgres, type TestPostgres } from '../_support/postgres.js'
import { openProxy, type Proxy as PostgresProxy } from '../_support/proxy.js'
import { runService } from '../_support/running-service.js'
import { openTestStore, readRows } from '../_support/store.js'
import { DOMAIN } from '../_support/tenant.js'
import { WAIT } from '../_support/wait.js'

/** Opens a primary (`old`), its replica (`next`), and a proxy that forwards connections to the primary. */
async function openPair({
  onTestFinished,
}: TestContext): Promise<{ old: TestPostgres; next: TestPostgres; proxy: PostgresProxy }> {
  const old = await startPostgres()
  onTestFinished(() => old.remove())
  const next = await old.replicate()
  onTestFinished(() => next.remove())
  const proxy = await openProxy(old.url)
  onTestFinished(() => proxy.close())
  return { old, next, proxy }
}

async function run(proxy: PostgresProxy, { onTestFinished }: TestContext) {
  const service = await runService({ DATABASE_URL: proxy.url })
  onTestFinished(() => service.close())
  const entries: Record<string, unknown>[] = []
  let users = 0
  /** Writes a logout of a new user to the tenant, and waits until the API returns it. */
  const logOut = async () => {
    const user = `auth0|${++users}`
    entries.push(service.logout(user))
    return { user, ms: await service.waitForLogout(user) }
  }
  return { service, logOut, readExpectedRows: () => expectedFromLog(entries).rows }
}

test.concurrent('a promoted replica takes over, and lost writes are read from the log again', async (context) => {
  const { annotate, expect, onTestFinished } = context
  const { old, next, proxy } = await openPair(context)
  const { service, logOut, readExpectedRows } = await run(proxy, context)
  const client = openClient(service.url)
  onTestFinished(() => client.close())
  const before = await logOut()
  await client.ready()
  await expect.poll(() => readUsers(next), WAIT).toEqual([before.user])
  const isRevoked = (user: string) =>
    client.checkNow({ sub: user, iat: Date.now() / 1000 - 60 }).outcome

  // From here on, the replica receives no commits.
  await next.stop()
  const lost = await logOut()
  await expect.poll(() => isRevoked(lost.user), WAIT).toBe('revoked')
  await old.stop('immediate')
  await next.start()
  await next.promote()
  expect(await readUsers(next)).toEqual([before.user])
  proxy.redirectTo(next.url)

  await annotate(`lost logout returned again after ${await service.waitForLogout(lost.user)} ms`)
  const after = await logOut()
  expect(await readRows(next)).toEqual(readExpectedRows())
  // The client continues with a cursor of the old primary, and receives later changes from the new primary.
  await expect.poll(() => isRevoked(after.user), WAIT).toBe('revoked')
  expect(isRevoked(lost.user)).toBe('revoked')
}, 60_000)

test.concurrent('the service closes its connections to a demoted primary that still runs', async (context) => {
  const { annotate, expect, onTestFinished } = context
  const { old, next, proxy } = await openPair(context)
  const { service, logOut, readExpectedRows } = await run(proxy, context)
  const before = await logOut()
  await expect.poll(() => readUsers(next), WAIT).toEqual([before.user])
  await Promise.all(Array.from({ length: 20 }, () => service.requestUser()))
  const reader = await openTestStore(proxy, { domain: DOMAIN }, { maxLifetimeSeconds: 1 })
  onTestFinished(() => reader.close())
  await next.promote()
  await old.query('ALTER SYSTEM SET default_transaction_read_only = on')
  await old.query('SELECT pg_reload_conf()')
  // The open connections still lead to the old primary until a write fails.
  proxy.redirectTo(next.url)
  const startedAt = performance.now()
  await expect.poll(() => service.reportLogout('auth0|reported'), WAIT).toBe(200)
  await annotate(`report accepted after ${Math.round(performance.now() - startedAt)} ms`)
  const after = await logOut()
  await annotate(`logout returned after ${after.ms} ms`)
  const { users } = await readRows(next)
  expect(users.filter(({ type }) => type === 'slo')).toEqual(readExpectedRows().users)
  // No write fails in a process that only reads. Such a process closes each connection at its maximum age.
  const findLogout = async () => (await reader.readKnownLogouts(after.user, null)).user
  await expect.poll(findLogout, { timeout: 5_000 }).not.toBeNull()
}, 60_000)

async function readUsers(server: TestPostgres): Promise<string[]> {
  const rows = await server.query<{ user_id: string }>(
    'SELECT user_id FROM last_logout ORDER BY user_id',
  )
  return rows.map(({ user_id }) => user_id)
}
