import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { ServiceOverrides } from '../../src/service/service.js'
import { openClient } from '../_support/client.js'
import { startPostgres, type TestPostgres } from '../_support/postgres.js'
import { PATIENCE, type RunningService, runService } from '../_support/running-service.js'

/** As by default, 5 s and 15 s, but shorter. */
const poolTimeouts = { connectTimeoutMs: 500, queryTimeoutMs: 1_500 }

/** A connection and an answer, and what the machine takes. */
const LONGEST_ANSWER_MS = poolTimeouts.connectTimeoutMs + poolTimeouts.queryTimeoutMs + 1_000

const AWAY = /^database unavailable$/
const BACK = /^database available again$/

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startPostgres({ max_connections: '30' })
})
afterAll(() => postgres.remove())
// A test that fails in the middle leaves it stopped.
beforeEach(() => postgres.query('SELECT 1').catch(() => postgres.start()))

async function run(overrides: ServiceOverrides = {}): Promise<RunningService> {
  const service = await runService({ DATABASE_URL: postgres.url }, overrides)
  onTestFinished(() => service.close())
  return service
}

let users = 0

/** Logs somebody out; resolves to how long it took until the API knew, in milliseconds. */
function logOut(service: RunningService): Promise<number> {
  const user = `auth0|${++users}`
  service.logout(user)
  return service.knows(user)
}

/** What the log has said by now: once that it is away, and once that it is back. */
async function saidOnce(service: RunningService): Promise<void> {
  await expect.poll(() => service.ask().then(() => service.count('info', BACK)), PATIENCE).toBe(1)
  expect(service.count('error', AWAY)).toBe(1)
}

describe('PostgreSQL', () => {
  test.for(['fast', 'immediate'] as const)(
    'that is restarted (%s) loses nothing, and is said to be away once (P28)',
    async (how, { annotate }) => {
      const service = await run()
      await logOut(service)
      const client = openClient(service.url)
      onTestFinished(() => client.close())
      await client.ready()

      await postgres.stop(how)
      const answers = await Promise.all(Array.from({ length: 50 }, () => service.ask()))
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([503]))
      expect(Math.max(...answers.map(({ ms }) => ms))).toBeLessThan(2_000)
      expect(await service.status('/health/ready')).toBe(503)
      expect(await service.status('/health/live')).toBe(200)
      const user = `auth0|${++users}`
      service.logout(user)

      await postgres.start()
      await annotate(`known ${await service.knows(user)} ms after the restart`)
      const claims = { sub: user, iat: Date.now() / 1000 - 60 }
      await expect.poll(() => client.checkNow(claims).outcome, PATIENCE).toBe('revoked')
      await saidOnce(service)
      expect(service.count('error', /request failed/)).toBe(0)
    },
  )

  test('that falls silent is answered for with 503 within the time-outs, and goes on', async ({
    annotate,
  }) => {
    const service = await run({ poolTimeouts })
    await logOut(service)
    await postgres.freeze()
    onTestFinished(() => postgres.thaw())
    const answers = await Promise.all(Array.from({ length: 50 }, () => service.ask()))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([503]))
    const longest = Math.max(...answers.map(({ ms }) => ms))
    await annotate(`answered within ${Math.round(longest)} ms, then ${(await service.ask()).ms} ms`)
    expect(longest).toBeLessThan(LONGEST_ANSWER_MS)
    postgres.thaw()
    await annotate(`known ${await logOut(service)} ms after it answers again`)
    await saidOnce(service)
  }, 60_000)

  test('that has no connection left fails only what needs one, until it has', async ({
    annotate,
  }) => {
    const service = await run()
    await logOut(service)
    await postgres.query(`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`)
    const taken = await takeAllConnections()
    await expect.poll(async () => (await service.ask()).status, PATIENCE).toBe(503)
    for (const client of taken) await client.end()
    await annotate(`known ${await logOut(service)} ms after there are connections`)
    await saidOnce(service)
  })

  test('that has become read-only is read from, and written to when it may be', async ({
    annotate,
  }) => {
    const service = await run()
    await logOut(service)
    await setReadOnly('on')
    onTestFinished(() => setReadOnly('off'))
    await expect.poll(() => service.report('auth0|x'), PATIENCE).toBe(503)
    expect((await service.ask()).status).toBe(200)
    await expect.poll(() => service.count('error', AWAY), PATIENCE).toBe(1)
    const user = `auth0|${++users}`
    service.logout(user)
    await setReadOnly('off')
    await annotate(`known ${await service.knows(user)} ms after it takes writes`)
    expect(await service.report('auth0|x')).toBe(200)
    await saidOnce(service)
  })

  test('in which a transaction stands still is read from, and written to when that is ended', async ({
    annotate,
  }) => {
    const service = await run()
    await logOut(service)
    const idle = new pg.Client({ connectionString: postgres.url })
    idle.on('error', () => {})
    await idle.connect()
    await idle.query(`SET idle_in_transaction_session_timeout = '2s'; BEGIN`)
    await idle.query('SELECT FROM tenant FOR UPDATE')
    const [written, { status, ms }] = await Promise.all([logOut(service), service.ask()])
    expect(status).toBe(200)
    expect(ms).toBeLessThan(1_000)
    expect(written).toBeGreaterThan(1_500)
    await annotate(`known ${written} ms after a transaction has stood still for 2,000 ms`)
  })

  test('that is away at the start is waited for: alive, not ready, said once', async ({
    annotate,
  }) => {
    await postgres.stop()
    const service = await run()
    expect(await service.status('/health/live')).toBe(200)
    expect(await service.status('/health/ready')).toBe(503)
    expect((await service.ask()).status).toBe(503)
    await postgres.start()
    await annotate(`known ${await logOut(service)} ms after PostgreSQL is there`)
    expect(service.count('warn', /^database unavailable, retrying$/)).toBe(1)
    expect(service.count('info', /^connected to postgresql$/)).toBe(1)
  })
})

async function takeAllConnections(): Promise<pg.Client[]> {
  const taken: pg.Client[] = []
  for (;;) {
    const client = new pg.Client({ connectionString: postgres.url })
    client.on('error', () => {})
    try {
      await client.connect()
    } catch (error) {
      expect(error).toMatchObject({ code: '53300' })
      return taken
    }
    taken.push(client)
  }
}

async function setReadOnly(value: 'on' | 'off'): Promise<void> {
  await postgres.query(`ALTER SYSTEM SET default_transaction_read_only = ${value}`)
  await postgres.query('SELECT pg_reload_conf()')
}
