import { cp, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import { runCommand } from '../_support/cli.js'
import { createTestDatabase } from '../_support/database.js'
import { findUnusedPort } from '../_support/port.js'
import { openProxy } from '../_support/proxy.js'
import { KEY } from '../_support/served-api.js'
import { openTenant, tenantEnv } from '../_support/tenant.js'
import { WAIT } from '../_support/wait.js'

/** Copies the built program. `remove` removes its code, its migrations and its packages, as an upgrade in place. */
async function installProgram() {
  const directory = await mkdtemp(join(tmpdir(), 'last-logout-installed-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  for (const name of ['dist', 'package.json']) {
    const filter = (path: string) => !/\.map$|\/(client-package|screenshots|bundle)$/.test(path)
    await cp(name, join(directory, name), { recursive: true, filter })
  }
  for (const name of ['node_modules', 'prisma', 'src']) {
    await symlink(join(process.cwd(), name), join(directory, name))
  }
  return {
    script: join(directory, 'dist/main.js'),
    async remove() {
      await rm(join(directory, 'dist'), { recursive: true })
      await rm(join(directory, 'node_modules'))
      await rm(join(directory, 'prisma'))
    },
  }
}

/** Starts PostgreSQL with a database that is unavailable until `start`, a tenant, and the environment of a command. */
async function openEnvironment(isAvailable: boolean) {
  const database = await createTestDatabase()
  const proxy = await openProxy(isAvailable ? database.url : 'postgres://127.0.0.1:1')
  const auth0 = await openTenant()
  onTestFinished(async () => {
    await Promise.all([auth0.close(), proxy.close()])
    await database.drop()
  })
  const env = {
    ...tenantEnv(auth0.simulator),
    DATABASE_URL: Object.assign(new URL(database.url), { host: new URL(proxy.url).host }).href,
    API_KEYS: `test:${KEY}:read+metrics`,
    PORT: await findUnusedPort(),
    POLL_INTERVAL: '200ms',
  }
  const request = (path: string) =>
    fetch(`http://127.0.0.1:${env.PORT}${path}`, { headers: { authorization: `Bearer ${KEY}` } })
  return { env, auth0, request, startDatabase: () => proxy.redirectTo(database.url) }
}

test('the console of a running service shows the schedule after the files of its version were removed', async () => {
  const { env, request } = await openEnvironment(true)
  const { script, remove } = await installProgram()
  const service = runCommand(['start'], env, { script })
  onTestFinished(() => service.kill('SIGKILL'))
  await expect.poll(service.output, WAIT).toContain('"polling"')
  await remove()
  const state = await (await request('/console/data')).json()
  expect(state).toMatchObject({ schedule: { store: 'postgresql', error: null } })
  service.kill('SIGTERM')
  expect(await service.exited).toBe(0)
})

test('start polls when PostgreSQL becomes available after the files of its version were removed', async () => {
  const { env, auth0, request, startDatabase } = await openEnvironment(false)
  const { script, remove } = await installProgram()
  const service = runCommand(['start'], env, { script })
  onTestFinished(() => service.kill('SIGKILL'))
  const statusOf = (path: string) => request(path).then(({ status }) => status)
  await expect.poll(() => statusOf('/health/ready').catch(() => null), WAIT).toBe(503)
  await remove()
  startDatabase()
  await expect.poll(service.output, WAIT).toContain('"polling"')
  auth0.tenant.write(buildEntry('slo', { userId: 'auth0|1' }), { dateMs: Date.now() - 5_000 })
  const readLastLogout = async () =>
    ((await (await request('/v1/users/auth0%7C1/last-logout')).json()) as Record<string, unknown>)
      .last_logout_at
  await expect.poll(readLastLogout, WAIT).toEqual(expect.any(String))
  service.kill('SIGTERM')
  expect(await service.exited).toBe(0)
})
