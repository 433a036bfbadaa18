import { createServer } from 'node:http'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Decision, LastLogoutClient } from '../../src/client/index.js'
import type { LastLogoutClientOptions } from '../../src/client/options.js'
import { fold } from '../../src/rules/fold.js'
import { openClient } from '../_support/client.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openLoopback } from '../_support/loopback.js'
import { openProxy } from '../_support/proxy.js'
import { KEY, serveApi } from '../_support/served-api.js'
import { CHECKPOINT, openTestStore } from '../_support/store.js'
import { DOMAIN } from '../_support/tenant.js'

const SESSION_CLAIM = 'https://last-logout/session_id'
const DAY_MS = 86_400_000
const NOW = Date.now()
const MINUTE_AGO = NOW - 60_000
/** No service runs at this address. */
const UNREACHABLE_URL = 'http://127.0.0.1:1'

let database: TestDatabase
let store: Awaited<ReturnType<typeof openTestStore>>
let api: Awaited<ReturnType<typeof serveApi>>
let clients: LastLogoutClient[]
beforeEach(() => {
  clients = []
})
const closeClients = () => Promise.all(clients.map((client) => client.close()))
afterEach(closeClients)

/** Starts a service before every test of the current `describe`, and closes it afterwards. */
function withService(): void {
  beforeEach(async () => {
    database = await createTestDatabase()
    store = await openTestStore(database, { domain: DOMAIN })
    await store.setFirstCheckpoint(CHECKPOINT, null)
    // The service has just read the log to its end.
    await store.storeCaughtUp(CHECKPOINT, Date.now())
    api = await serveApi(database)
  })
  afterEach(async () => {
    await closeClients()
    await api.close()
    await store.close()
    await database.drop()
  })
}

function open(options: Partial<LastLogoutClientOptions> = {}, url = api.url): LastLogoutClient {
  const client = openClient(url, options)
  clients.push(client)
  return client
}

/** Stores a logout of a session; `null`: of all sessions of the user. `at` is in milliseconds. */
async function logOut(userId: string, sessionId: string | null, at = Date.now()): Promise<void> {
  const event = { logId: `L${at}`, type: 'slo', at, userId, sessionId }
  await store.storeBatch({ ...fold([event]), unattributable: [] })
}

const toSeconds = (ms: number) => Math.floor(ms / 1000)

/** Returns the claims of a token. `loginAt` is in milliseconds. */
const claimsOf = (sub: string, loginAt: number, session?: string) => ({
  sub,
  iat: toSeconds(loginAt),
  ...(session && { [SESSION_CLAIM]: session }),
})

describe('a check', () => {
  withService()

  test('a check returns revoked soon after the service has stored the logout, and sends no request (pitfall 27)', async () => {
    const client = open()
    await client.ready()
    const claims = claimsOf('auth0|1', MINUTE_AGO, 'phone')
    expect(await client.check(claims)).toMatchObject({ allowed: true, reason: 'no_logout' })

    await logOut('auth0|1', 'phone')

    await expect.poll(() => client.checkNow(claims).outcome).toBe('revoked')
    expect(client.checkNow(claims)).toMatchObject({
      allowed: false,
      revoked: true,
      reason: 'session_ended',
      loginAt: toSeconds(MINUTE_AGO) * 1000,
    })
    expect(client.checkNow(claimsOf('auth0|1', MINUTE_AGO, 'laptop'))).toMatchObject({
      allowed: true,
    })
    expect(client.checkNow(claimsOf('auth0|1', Date.now() + 2_000))).toMatchObject({
      allowed: true,
      reason: 'login_after_logout',
    })
  })

  test('a check applies the policy of the service', async () => {
    await api.close()
    api = await serveApi(database, { POLICY: 'user' })
    await logOut('auth0|1', 'phone')
    const client = open()
    await client.ready()
    expect(client.checkNow(claimsOf('auth0|1', MINUTE_AGO, 'laptop'))).toMatchObject({
      reason: 'user_logout',
    })
  })

  test('a check sends a request only if the memory does not contain all logouts since the login (pitfall 25)', async () => {
    // By default, a client loads the logouts of the last 31 days. `seq`, the position in the feed, is the time at which
    // the service stored the logout, in microseconds.
    await logOut('auth0|old', null, NOW - 40 * DAY_MS)
    await database.query('UPDATE last_logout SET seq = $1', [(NOW - 40 * DAY_MS) * 1000])
    const client = open()
    await client.ready()
    expect(client.checkNow(claimsOf('auth0|old', NOW - 41 * DAY_MS)).reason).toBe('lookup_needed')
    const revoked = await client.check(claimsOf('auth0|old', NOW - 41 * DAY_MS))
    expect(revoked).toMatchObject({ outcome: 'revoked', reason: 'all_sessions_logout' })
    // The response is cached.
    expect(client.checkNow(claimsOf('auth0|old', NOW - 41 * DAY_MS)).outcome).toBe('revoked')
    await api.close()
    expect((await client.check(claimsOf('auth0|other', NOW - 41 * DAY_MS))).reason).toBe(
      'lookup_failed',
    )
    expect((await client.check(claimsOf('auth0|old', NOW))).outcome).toBe('accepted')
  })

  test.each([
    ['no subject', {}, 'no_subject'],
    ['another issuer', { sub: 'auth0|1', iss: 'https://other/' }, 'other_issuer'],
    ['no issuer', { sub: 'auth0|1' }, 'other_issuer'],
  ])('a check returns unknown for claims with %s', async (_case, claims, reason) => {
    const client = open({ issuer: 'https://tenant.example/' })
    await client.ready()
    expect(await client.check(claims)).toMatchObject({ outcome: 'unknown', allowed: false, reason })
    const claimsOfIssuer = { ...claimsOf('auth0|1', NOW), iss: 'https://tenant.example/' }
    expect((await client.check(claimsOfIssuer)).outcome).toBe('accepted')
  })
})

describe('the outcome of a check', () => {
  withService()

  test("with mode: 'observe', a check reports the outcome revoked, but allows the token", async () => {
    await logOut('auth0|1', null)
    const client = open({ mode: 'observe' })
    await client.ready()
    expect(client.checkNow(claimsOf('auth0|1', MINUTE_AGO))).toMatchObject({
      allowed: true,
      outcome: 'revoked',
    })
  })

  test('the outcome is unknown while the data is older than maxStalenessMs, but a revoked token stays revoked (pitfall 31)', async () => {
    await logOut('auth0|1', null)
    const client = open({ maxStalenessMs: 1_500 })
    await client.ready()
    expect(client.checkNow(claimsOf('auth0|2', NOW)).outcome).toBe('accepted')
    await expect
      .poll(() => client.checkNow(claimsOf('auth0|2', NOW)).reason, { timeout: 5_000 })
      .toBe('stale')
    expect(client.checkNow(claimsOf('auth0|1', MINUTE_AGO)).outcome).toBe('revoked')
    await store.storeCaughtUp(CHECKPOINT, Date.now())
    await expect.poll(() => client.checkNow(claimsOf('auth0|2', NOW)).outcome).toBe('accepted')
  })

  test('the outcome is unknown until the service has read the log to its end (pitfall 29)', async () => {
    await database.query('UPDATE tenant SET as_of = NULL')
    const client = open()
    await expect.poll(() => client.checkNow(claimsOf('auth0|2', NOW)).reason).toBe('stale')
    await store.storeCaughtUp(CHECKPOINT, Date.now())
    await client.ready()
    expect(client.checkNow(claimsOf('auth0|2', NOW)).outcome).toBe('accepted')
  })
})

describe('ready', () => {
  withService()

  test('`ready` rejects when the service rejects the key, and the error names API_KEYS', async () => {
    const client = open({ apiKey: 'x'.repeat(32) })
    await expect(client.ready()).rejects.toMatchObject({
      code: 'UNAUTHORIZED',
      message: expect.stringContaining('API_KEYS'),
    })
  })

  test('`ready` waits for a service that starts later', async () => {
    const { port } = new URL(api.url)
    await api.close()
    const errors: unknown[] = []
    const client = open({ onError: (error) => void errors.push(error) })
    await expect.poll(() => errors.length).toBeGreaterThan(0)
    expect(errors[0]).toMatchObject({ code: 'UNAVAILABLE' })
    api = await serveApi(database, { PORT: port })
    await client.ready()
  })
})

describe("a client with lookup: 'request'", () => {
  withService()

  test('the client returns the same outcome for concurrent checks, and caches the response for cacheMs (pitfall 31)', async () => {
    await logOut('auth0|1', 'phone')
    const client = open({ lookup: 'request', cacheMs: 2_000, timeoutMs: 20_000 })
    await client.ready()
    const phone = claimsOf('auth0|1', MINUTE_AGO, 'phone')
    const decisions = await Promise.all(Array.from({ length: 20 }, () => client.check(phone)))
    expect(new Set(decisions.map(({ outcome }) => outcome))).toEqual(new Set(['revoked']))

    const laptop = claimsOf('auth0|1', MINUTE_AGO, 'laptop')
    expect((await client.check(laptop)).outcome).toBe('accepted')
    await logOut('auth0|1', 'laptop')
    // The cached response is from before this logout.
    expect(client.checkNow(laptop).outcome).toBe('accepted')
    const outcome = async () => (await client.check(laptop)).outcome
    await expect.poll(outcome, { timeout: 20_000 }).toBe('revoked')
  })

  test('the client adds the time in the cache to the age of a response (pitfall 31)', async () => {
    await store.storeCaughtUp(CHECKPOINT, Date.now())
    const client = open({ lookup: 'request', cacheMs: 60_000, maxStalenessMs: 2_000 })
    const claims = claimsOf('auth0|1', NOW)
    expect((await client.check(claims)).outcome).toBe('accepted')
    await expect.poll(() => client.checkNow(claims).reason, { timeout: 5_000 }).toBe('stale')
  })

  test('a revoked token stays revoked when the service has lost the logout (pitfall 30)', async () => {
    await logOut('auth0|1', 'phone')
    const client = open({ lookup: 'request', cacheMs: 0 })
    const phone = claimsOf('auth0|1', MINUTE_AGO, 'phone')
    expect((await client.check(phone)).outcome).toBe('revoked')
    await database.query('TRUNCATE last_logout, session_logout')
    expect((await client.check(phone)).outcome).toBe('revoked')
  })

  test('the client stops waiting for a response after timeoutMs', async () => {
    const proxy = await openProxy(api.url)
    proxy.freeze()
    // Fractions of a millisecond are valid.
    const client = open({ lookup: 'request', timeoutMs: 199.5 }, proxy.url)
    const startedAt = performance.now()
    const decision = await client.check(claimsOf('auth0|1', NOW))
    expect(decision).toMatchObject({ outcome: 'unknown', reason: 'lookup_failed' })
    expect(performance.now() - startedAt).toBeLessThan(2_000)
    await proxy.close()
  })

  test('the client returns unknown while the data of the service is stale', async () => {
    await store.storeCaughtUp(CHECKPOINT, Date.now())
    const client = open({ lookup: 'request', maxStalenessMs: 1, cacheMs: 0 })
    expect((await client.check(claimsOf('auth0|1', NOW))).reason).toBe('stale')
  })
})

describe('a subscribed client', () => {
  withService()

  let proxy: Awaited<ReturnType<typeof openProxy>> | undefined
  afterEach(() => proxy?.close())

  test('the client receives a logout that was stored while the service was stopped', async () => {
    const { port } = new URL(api.url)
    const client = open()
    await client.ready()
    await api.close()
    await logOut('auth0|1', null)
    api = await serveApi(database, { PORT: port })
    await expect
      .poll(() => client.checkNow(claimsOf('auth0|1', MINUTE_AGO)).outcome, { timeout: 10_000 })
      .toBe('revoked')
  })

  test('while a connection sends no data, the data becomes stale, until the client replaces the connection', async () => {
    proxy = await openProxy(api.url)
    const client = open({ maxStalenessMs: 3_000 }, proxy.url)
    await client.ready()
    proxy.freeze()
    await logOut('auth0|1', null)
    await store.storeCaughtUp(CHECKPOINT, Date.now())
    await expect
      .poll(() => client.checkNow(claimsOf('auth0|2', NOW)).reason, { timeout: 10_000 })
      .toBe('stale')
    proxy.thaw()
    await expect
      .poll(() => client.checkNow(claimsOf('auth0|1', MINUTE_AGO)).outcome, { timeout: 20_000 })
      .toBe('revoked')
  })

  test('the client misses no change when its connection breaks repeatedly', async () => {
    proxy = await openProxy(api.url)
    const client = open({}, proxy.url)
    await client.ready()
    for (let n = 0; n < 60; n++) {
      await logOut(`auth0|${n}`, null)
      // `thaw` closes all connections.
      if (n % 3 === 0) proxy.thaw()
    }
    const decisions = () =>
      Array.from({ length: 60 }, (_, n) => client.checkNow(claimsOf(`auth0|${n}`, MINUTE_AGO)))
    await expect
      .poll(() => decisions().every(({ outcome }) => outcome === 'revoked'), { timeout: 10_000 })
      .toBe(true)
  })

  test('after the database was restored, revoked tokens stay revoked, and the client receives new changes (pitfall 30)', async () => {
    await logOut('auth0|1', null)
    const client = open()
    await client.ready()
    await logOut('auth0|2', null)
    await expect
      .poll(() => client.checkNow(claimsOf('auth0|2', MINUTE_AGO)).outcome)
      .toBe('revoked')
    const asOfBefore = client.checkNow(claimsOf('auth0|3', NOW)).asOf ?? 0

    // The state of a database that was restored from before the second logout.
    await database.query("DELETE FROM last_logout WHERE user_id = 'auth0|2'")
    await database.query("UPDATE tenant SET seq = seq - 1, as_of = as_of - interval '10 s'")

    // The client also accepts an earlier `as_of`, the instant up to which the service has read the log.
    await expect
      .poll(() => client.checkNow(claimsOf('auth0|3', NOW)).asOf ?? 0, { timeout: 8_000 })
      .toBeLessThan(asOfBefore)
    await logOut('auth0|4', null)
    await expect
      .poll(() => client.checkNow(claimsOf('auth0|4', MINUTE_AGO)).outcome)
      .toBe('revoked')
    expect(client.checkNow(claimsOf('auth0|2', MINUTE_AGO)).outcome).toBe('revoked')
  })

  test('the next reload delivers a change that the feed did not deliver', async () => {
    const client = open({ reloadIntervalMs: 1_000 })
    await client.ready()
    // The feed does not deliver this row, because its position is not after the cursor of the client.
    await database.query(
      `INSERT INTO last_logout VALUES ('auth0|lost', now(), now(), '', 'slo', 0)`,
    )
    await database.query("UPDATE last_logout SET seq = 1 WHERE user_id = 'auth0|lost'")
    await database.query('UPDATE tenant SET seq = 1')
    await expect
      .poll(() => client.checkNow(claimsOf('auth0|lost', MINUTE_AGO)).outcome, { timeout: 15_000 })
      .toBe('revoked')
  })

  test('a client loads a hundred thousand changes from each of two API processes (pitfall 29)', async () => {
    await database.query(
      `INSERT INTO last_logout
       SELECT 'auth0|' || n, now(), now(), '', 'slo', extract(epoch FROM now()) * 1000000 + n
       FROM generate_series(1, 100000) AS n`,
    )
    await database.query('UPDATE tenant SET seq = (SELECT max(seq) FROM last_logout)')
    const otherApi = await serveApi(database)
    for (const url of [api.url, otherApi.url]) {
      const client = open({}, url)
      await client.ready()
      const revoked = Array.from(
        { length: 100_000 },
        (_, n) => client.checkNow(claimsOf(`auth0|${n + 1}`, MINUTE_AGO)).revoked,
      )
      expect(revoked.every(Boolean)).toBe(true)
      await client.close()
    }
    await otherApi.close()
  })
})

describe('while no service is reachable', () => {
  test('a check accepts a machine token', async () => {
    const client = open({}, UNREACHABLE_URL)
    const decision = await client.check(claimsOf('abc@clients', NOW))
    expect(decision).toMatchObject({ allowed: true, reason: 'machine_token' })
  })

  test.each([
    ['deny', 'enforce', false],
    ['allow', 'enforce', true],
    ['deny', 'observe', true],
  ] as const)(
    'with onUnknown %s and mode %s, a decision with an unknown outcome has `allowed: %s` (pitfall 28)',
    async (onUnknown, mode, allowed) => {
      const decisions: Decision[] = []
      const onDecision = (decision: Decision) => void decisions.push(decision)
      const client = open({ onUnknown, mode, onDecision }, UNREACHABLE_URL)
      const decision = await client.check(claimsOf('auth0|1', NOW))
      expect(decision).toMatchObject({ outcome: 'unknown', reason: 'not_loaded', allowed })
      expect(decisions).toEqual([decision])
    },
  )

  test.each([
    ['no onUnknown (pitfall 28)', { onUnknown: undefined }],
    ['an empty key', { apiKey: '' }],
    ['a relative URL', { url: 'last-logout' }],
    ['an unknown mode', { mode: 'monitor' }],
    ['a negative maxStalenessMs', { maxStalenessMs: -1 }],
    ['a key that is not a valid header value', { apiKey: 'first\nsecond' }],
    ['a password in the URL', { url: 'https://user:secret@last-logout.example' }],
    ['an infinite maxTokenAgeMs', { maxTokenAgeMs: Number.POSITIVE_INFINITY }],
    ['an infinite timeoutMs', { timeoutMs: Number.POSITIVE_INFINITY }],
  ])('creating a client with %s throws a TypeError', (_case, options) => {
    expect(() => openClient(UNREACHABLE_URL, options as object)).toThrow(TypeError)
  })

  test('`ready` rejects when the client is closed', async () => {
    const client = open({}, UNREACHABLE_URL)
    const ready = client.ready()
    await client.close()
    await expect(ready).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(client.ready()).rejects.toMatchObject({ code: 'CLOSED' })
  })

  test.each([
    ['an HTML page', 'text/html', '<html>'],
    ['a broken event', 'text/event-stream', 'event: change\ndata: {"kind"\n\n'],
    [
      'a change without an instant',
      'text/event-stream',
      'event: change\ndata: {"kind":"user","user_id":"x","at":"never","all_sessions_at":null}\n\n',
    ],
    ['an event that is too long', 'text/event-stream', 'x'.repeat(2_000_000)],
  ])(
    'a check returns unknown when the service sends %s instead of the feed',
    async (_case, type, body) => {
      const server = createServer((_request, response) => {
        response.setHeader('content-type', type).end(body)
      })
      const { url: brokenUrl, close } = await openLoopback(server)
      const errors: unknown[] = []
      const onError = (error: unknown) => void errors.push(error)
      const client = open({ onError }, brokenUrl)
      await expect.poll(() => errors.length).toBeGreaterThan(0)
      expect(client.checkNow(claimsOf('x', NOW)).reason).toBe('not_loaded')
      expect(errors[0]).toMatchObject({ name: 'LastLogoutClientError' })
      expect(String(errors[0])).not.toContain(KEY)
      await client.close()
      await close()
    },
  )
})
