import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { ServiceOverrides } from '../../src/service/service.js'
import { openClient } from '../_support/client.js'
import { startPostgres, type TestPostgres } from '../_support/postgres.js'
import { type RunningService, runService } from '../_support/running-service.js'
import { WAIT } from '../_support/wait.js'

/** Timeouts that are shorter than the defaults, which are 5 s and 15 s. */
const poolTimeouts = { connectTimeoutMs: 500, queryTimeoutMs: 1_500 }

/** Maximum response time: both timeouts, and one second for a busy machine. */
const MAX_RESPONSE_MS = poolTimeouts.connectTimeoutMs + poolTimeouts.queryTimeoutMs + 1_000

const UNAVAILABLE = /^database unavailable$/
const RECOVERED = /^database available again$/

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startPostgres({ max_connections: '30' })
})
afterAll(() => postgres.remove())
// A failed test can leave PostgreSQL stopped.
beforeEach(() => postgres.query('SELECT 1').catch(() => postgres.start()))

/** Runs the service until the end of the test. */
async function startService(overrides: ServiceOverrides = {}): Promise<RunningService> {
  const service = await runService({ DATABASE_URL: postgres.url }, overrides)
  onTestFinished(() => service.close())
  return service
}

let userCount = 0
const newUser = () => `auth0|${++userCount}`

/** Writes a logout of a new user to the tenant. Returns the milliseconds until the API returns the logout. */
function logOut(service: RunningService): Promise<number> {
  const user = newUser()
  service.logout(user)
  return service.waitForLogout(user)
}

/** Expects one log line about the outage, and one about the recovery. */
async function expectLoggedOnce(service: RunningService): Promise<void> {
  await expect
    .poll(() => service.requestUser().then(() => service.countLines('info', RECOVERED)), WAIT)
    .toBe(1)
  expect(service.countLines('error', UNAVAILABLE)).toBe(1)
}

describe('the service', () => {
  test.for(['fast', 'immediate'] as const)(
    'the service loses nothing when PostgreSQL is restarted with the shutdown mode %s, and logs the outage once (pitfall 28)',
    async (shutdownMode, { annotate }) => {
      const service = await startService()
      await logOut(service)
      const client = openClient(service.url)
      onTestFinished(() => client.close())
      await client.ready()

      await postgres.stop(shutdownMode)
      const responses = await Promise.all(Array.from({ length: 50 }, () => service.requestUser()))
      expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([503]))
      expect(Math.max(...responses.map(({ ms }) => ms))).toBeLessThan(2_000)
      expect(await service.requestStatus('/health/ready')).toBe(503)
      expect(await service.requestStatus('/health/live')).toBe(200)
      const user = newUser()
      service.logout(user)

      await postgres.start()
      await annotate(`logout returned ${await service.waitForLogout(user)} ms after the restart`)
      // The token was issued a minute before the logout.
      const claims = { sub: user, iat: Date.now() / 1000 - 60 }
      await expect.poll(() => client.checkNow(claims).outcome, WAIT).toBe('revoked')
      await expectLoggedOnce(service)
      expect(service.countLines('error', /request failed/)).toBe(0)
    },
  )

  test('the service responds with 503 within its timeouts while PostgreSQL does not respond, and recovers', async ({
    annotate,
  }) => {
    const service = await startService({ poolTimeouts })
    await logOut(service)
    await postgres.freeze()
    onTestFinished(() => postgres.thaw())
    const responses = await Promise.all(Array.from({ length: 50 }, () => service.requestUser()))
    expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([503]))
    const longestMs = Math.max(...responses.map(({ ms }) => ms))
    await annotate(
      `responses within ${Math.round(longestMs)} ms, then ${(await service.requestUser()).ms} ms`,
    )
    expect(longestMs).toBeLessThan(MAX_RESPONSE_MS)
    postgres.thaw()
    await annotate(`logout returned ${await logOut(service)} ms after the recovery`)
    await expectLoggedOnce(service)
  }, 60_000)

  test('the service responds with 503 while PostgreSQL has no connection left, and recovers', async ({
    annotate,
  }) => {
    const service = await startService()
    await logOut(service)
    const releaseConnections = await takeAllConnections()
    onTestFinished(releaseConnections)
    await expect.poll(async () => (await service.requestUser()).status, WAIT).toBe(503)
    await releaseConnections()
    await annotate(`logout returned ${await logOut(service)} ms after connections are available`)
    await expectLoggedOnce(service)
  })

  test('the service continues to serve reads while PostgreSQL is read-only, and then writes again', async ({
    annotate,
  }) => {
    const service = await startService()
    await logOut(service)
    await setReadOnly('on')
    onTestFinished(() => setReadOnly('off'))
    await expect.poll(() => service.reportLogout('auth0|x'), WAIT).toBe(503)
    expect((await service.requestUser()).status).toBe(200)
    await expect.poll(() => service.countLines('error', UNAVAILABLE), WAIT).toBe(1)
    const user = newUser()
    service.logout(user)
    await setReadOnly('off')
    await annotate(
      `logout returned ${await service.waitForLogout(user)} ms after PostgreSQL accepts writes`,
    )
    expect(await service.reportLogout('auth0|x')).toBe(200)
    await expectLoggedOnce(service)
  })

  test('the service continues to serve reads while an idle transaction holds a lock, and writes when the transaction has ended', async ({
    annotate,
  }) => {
    const service = await startService()
    await logOut(service)
    const idleClient = new pg.Client({ connectionString: postgres.url })
    idleClient.on('error', () => {})
    await idleClient.connect()
    await idleClient.query(`SET idle_in_transaction_session_timeout = '2s'; BEGIN`)
    await idleClient.query('SELECT FROM tenant FOR UPDATE')
    const [logoutMs, read] = await Promise.all([logOut(service), service.requestUser()])
    expect(read.status).toBe(200)
    expect(read.ms).toBeLessThan(1_000)
    // The write of the logout waits until PostgreSQL ends the idle transaction after 2 s.
    expect(logoutMs).toBeGreaterThan(1_500)
    await annotate(
      `logout returned after ${logoutMs} ms, with a transaction that was idle for 2,000 ms`,
    )
  })

  test('the service waits for PostgreSQL at the start, is alive but not ready, and logs the wait once', async ({
    annotate,
  }) => {
    await postgres.stop()
    const service = await startService()
    expect(await service.requestStatus('/health/live')).toBe(200)
    expect(await service.requestStatus('/health/ready')).toBe(503)
    expect((await service.requestUser()).status).toBe(503)
    await postgres.start()
    await annotate(`logout returned ${await logOut(service)} ms after PostgreSQL is available`)
    expect(service.countLines('warn', /^database unavailable, retrying$/)).toBe(1)
    expect(service.countLines('info', /^connected to postgresql$/)).toBe(1)
  })
})

/**
 * Opens connections until PostgreSQL has none left, and ends the connections of the service. Returns a function that
 * closes the opened connections.
 */
async function takeAllConnections(): Promise<() => Promise<void>> {
  const taken: pg.Client[] = []
  const release = async () =>
    void (await Promise.all(taken.splice(0).map((client) => client.end())))
  const [{ max = 0 } = {}] = await postgres.query<{ max: number }>(
    `SELECT current_setting('max_connections')::int AS max`,
  )
  while (taken.length < max) {
    const client = new pg.Client({ connectionString: postgres.url, application_name: 'taken' })
    client.on('error', () => {})
    try {
      await client.connect()
      taken.push(client)
    } catch (error) {
      // 53300 is `too_many_connections`.
      expect(error).toMatchObject({ code: '53300' })
      // `pg_stat_activity` does not list a connection that is being opened. A later iteration ends this connection.
      await taken[0]?.query(`
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND application_name <> 'taken'`)
    }
  }
  return release
}

async function setReadOnly(value: 'on' | 'off'): Promise<void> {
  await postgres.query(`ALTER SYSTEM SET default_transaction_read_only = ${value}`)
  await postgres.query('SELECT pg_reload_conf()')
}
