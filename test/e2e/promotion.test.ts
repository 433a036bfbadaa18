import { type TestContext, test } from 'vitest'
import { openClient } from '../_support/client.js'
import { startPostgres, type TestPostgres } from '../_support/postgres.js'
import { type Proxy as Address, openProxy } from '../_support/proxy.js'
import { PATIENCE, runService } from '../_support/running-service.js'
import { openStore, readRows } from '../_support/store.js'
import { DOMAIN } from '../_support/tenant.js'
import { truthOfLog } from '../_support/truth.js'

/** A primary, its replica, and the address behind which the one or the other stands. */
async function openPair({
  onTestFinished,
}: TestContext): Promise<{ old: TestPostgres; next: TestPostgres; address: Address }> {
  const old = await startPostgres()
  onTestFinished(() => old.remove())
  const next = await old.replicate()
  onTestFinished(() => next.remove())
  const address = await openProxy(old.url)
  onTestFinished(() => address.close())
  return { old, next, address }
}

async function run(address: Address, { onTestFinished }: TestContext) {
  const service = await runService({ DATABASE_URL: address.url })
  onTestFinished(() => service.close())
  const entries: Record<string, unknown>[] = []
  let users = 0
  /** Logs somebody out; resolves to how long it took until the API knew, in milliseconds. */
  const logOut = async () => {
    const user = `auth0|${++users}`
    entries.push(service.logout(user))
    return { user, ms: await service.knows(user) }
  }
  return { service, logOut, truth: () => truthOfLog(entries).rows }
}

test.concurrent('a replica that is promoted takes over: what it had not got is read from the log again', async (context) => {
  const { annotate, expect, onTestFinished } = context
  const { old, next, address } = await openPair(context)
  const { service, logOut, truth } = await run(address, context)
  const client = openClient(service.url)
  onTestFinished(() => client.close())
  const before = await logOut()
  await client.ready()
  await expect.poll(() => readUsers(next), PATIENCE).toEqual([before.user])
  const isRevoked = (user: string) =>
    client.checkNow({ sub: user, iat: Date.now() / 1000 - 60 }).outcome

  // What is committed from here on, the replica never learns.
  await next.stop()
  const lost = await logOut()
  await expect.poll(() => isRevoked(lost.user), PATIENCE).toBe('revoked')
  await old.stop('immediate')
  await next.start()
  await next.promote()
  expect(await readUsers(next)).toEqual([before.user])
  address.redirectTo(next.url)

  await annotate(`what was lost is known again after ${await service.knows(lost.user)} ms`)
  const after = await logOut()
  expect(await readRows(next)).toEqual(truth())
  // A client that had come as far as the old primary is told what comes after.
  await expect.poll(() => isRevoked(after.user), PATIENCE).toBe('revoked')
  expect(isRevoked(lost.user)).toBe('revoked')
}, 60_000)

test.concurrent('connections to a primary that was demoted, and lives on, are given up', async (context) => {
  const { annotate, expect, onTestFinished } = context
  const { old, next, address } = await openPair(context)
  const { service, logOut, truth } = await run(address, context)
  const before = await logOut()
  await expect.poll(() => readUsers(next), PATIENCE).toEqual([before.user])
  await Promise.all(Array.from({ length: 20 }, () => service.ask()))
  const reader = await openStore(address, { domain: DOMAIN }, { lifetimeSeconds: 1 })
  onTestFinished(() => reader.close())
  await next.promote()
  await old.query('ALTER SYSTEM SET default_transaction_read_only = on')
  await old.query('SELECT pg_reload_conf()')
  // The open connections still lead to the old one: only an error tells.
  address.redirectTo(next.url)
  const startedAt = performance.now()
  await expect.poll(() => service.report('auth0|reported'), PATIENCE).toBe(200)
  await annotate(`a report is taken after ${Math.round(performance.now() - startedAt)} ms`)
  const after = await logOut()
  await annotate(`a logout is known after ${after.ms} ms`)
  const { users } = await readRows(next)
  expect(users.filter(({ type }) => type === 'slo')).toEqual(truth().users)
  // Who only reads meets no error: its connections end by their age.
  const findLogout = async () => (await reader.readKnown(after.user, null)).user
  await expect.poll(findLogout, { timeout: 5_000 }).not.toBeNull()
}, 60_000)

async function readUsers(server: TestPostgres): Promise<string[]> {
  const rows = await server.query<{ user_id: string }>(
    'SELECT user_id FROM last_logout ORDER BY user_id',
  )
  return rows.map(({ user_id }) => user_id)
}
