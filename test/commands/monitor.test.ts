import { afterEach, beforeEach, expect, test } from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import { startCommandLine } from '../_support/command-line.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { METRICS_KEY } from '../_support/served-api.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'
import { readValue, scrape } from '../metrics/running.js'

const WAIT = { timeout: 20_000, interval: 100 }

let database: TestDatabase
let auth0: TestTenant
let env: Record<string, string>
beforeEach(async () => {
  database = await createTestDatabase()
  auth0 = await openTenant()
  env = {
    ...tenantEnv(auth0.simulator),
    DATABASE_URL: database.url,
    POLL_INTERVAL: '200ms',
  }
})
afterEach(async () => {
  await auth0.close()
  await database.drop()
})

/** Returns the URL in the log line about serving. */
const urlIn = (output: string) => /"url":"([^"]+)"/.exec(output)?.[1] ?? ''

test('the command worker serves health and metrics on WORKER_PORT, and nothing else', async () => {
  const worker = startCommandLine(['worker'], {
    ...env,
    WORKER_PORT: '0',
    API_KEYS: `prometheus:${METRICS_KEY}:metrics+read`,
  })
  await expect.poll(worker.stdout, WAIT).toContain('"serving health and metrics"')
  const url = urlIn(worker.stdout())
  auth0.tenant.write(buildEntry('slo', { userId: 'auth0|1' }), { dateMs: Date.now() - 5_000 })
  const countPolls = async () =>
    readValue((await scrape(url)).families, 'last_logout_polls_total', { outcome: 'caught_up' })
  await expect.poll(countPolls, WAIT).toBeGreaterThan(1)
  const statusOf = async (path: string, headers = {}) =>
    (await fetch(url + path, { headers })).status
  expect(await statusOf('/health/ready')).toBe(200)
  expect(await statusOf('/metrics')).toBe(401)
  const authorization = `Bearer ${METRICS_KEY}`
  for (const path of ['/v1/users/auth0%7C1/last-logout', '/v1/changes', '/docs', '/openapi.json']) {
    expect(await statusOf(path, { authorization })).toBe(404)
  }
  worker.stop()
  expect(await worker.ended).toBe(0)
})

test.each([
  ['no keys', undefined],
  ['no key with the role metrics', 'caller:a-caller-of-more-than-32-characters'],
])(
  'the command worker with %s logs that it serves health only, and what to do',
  async (_name, keys) => {
    const worker = startCommandLine(['worker'], {
      ...env,
      WORKER_PORT: '0',
      ...(keys !== undefined && { API_KEYS: keys }),
    })
    await expect.poll(worker.stdout, WAIT).toContain('"polling"')
    expect(worker.stdout()).toContain('"serving health"')
    expect(worker.stdout()).toMatch(/"advice":"[^"]*add a key with the role metrics to API_KEYS/)
    worker.stop()
    expect(await worker.ended).toBe(0)
  },
)

test('the command worker serves nothing without WORKER_PORT, and needs no API keys', async () => {
  const worker = startCommandLine(['worker'], env)
  await expect.poll(worker.stdout, WAIT).toContain('"polling"')
  expect(worker.stdout()).not.toContain('"url"')
  worker.stop()
  expect(await worker.ended).toBe(0)
})

test('the command worker names WORKER_PORT in its message if the port is in use or invalid', async () => {
  const { port } = new URL(auth0.simulator.url)
  const withUsedPort = startCommandLine(['worker'], { ...env, WORKER_PORT: port })
  expect(await withUsedPort.ended).toBe(1)
  expect(withUsedPort.stderr()).toMatch(
    /cannot listen on port \d+ .*: another process listens there; stop it, or set WORKER_PORT to a free port/,
  )
  const withInvalidPort = startCommandLine(['worker'], { ...env, WORKER_PORT: 'http' })
  expect(await withInvalidPort.ended).toBe(2)
  expect(withInvalidPort.stderr()).toContain('WORKER_PORT must be a whole number from 0 to 65535')
})
