import { createServer } from 'node:http'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { createManagementApi } from '../../src/auth0/management-api.js'
import { syntheticLogId } from '../../src/rules/log-id.js'
import { buildEntry } from '../../src/simulator/entries.js'
import * as faults from '../../src/simulator/faults.js'
import { openLoopback } from '../_support/loopback.js'
import { DOMAIN, openSource, openTenant, type TestTenant } from '../_support/tenant.js'

const LOGS = '/api/v2/logs'
const { signal } = new AbortController()
const startMs = Date.now() - 60_000
/** The checkpoint before all entries of these tests. */
const startPosition = syntheticLogId(startMs - 1000)

let testTenant: TestTenant
beforeEach(async () => {
  testTenant = await openTenant()
})
afterEach(() => testTenant.close())

/** Writes entries that are one millisecond apart. Returns their log ids. */
function writeEntries(count: number, type = 'slo'): string[] {
  return Array.from({ length: count }, (_, n) => {
    const entry = buildEntry(type, { userId: `auth0|${n}`, sessionId: `S${n}` })
    return testTenant.tenant.write(entry, { dateMs: startMs + n }).logId
  })
}

const idsOf = (entries: unknown[]) => entries.map((entry) => (entry as { log_id: string }).log_id)

describe('a page', () => {
  test('a page contains the entries after the checkpoint, oldest first, and the id to continue from (pitfall 1)', async () => {
    const ids = writeEntries(250)
    const first = await testTenant.source.readPage(startPosition, signal)
    expect(idsOf(first.entries)).toEqual(ids.slice(0, 100))
    expect(first.next).toBe(ids[99])
    const second = await testTenant.source.readPage(first.next, signal)
    expect(idsOf(second.entries)).toEqual(ids.slice(100, 200))
    expect(idsOf((await testTenant.source.readPage(second.next, signal)).entries)).toEqual(
      ids.slice(200),
    )
  })

  test('a page is requested with the parameters `from` and `take` only (pitfalls 1, 4)', async () => {
    await testTenant.source.readPage(startPosition, signal)
    expect(testTenant.simulator.requests.all().at(-1)?.url).toBe(
      `${LOGS}?from=${startPosition}&take=100`,
    )
  })

  test('the next page is requested with the complete id of the last entry, which has 56 digits (pitfall 11)', async () => {
    const position = syntheticLogId(startMs)
    // The ids differ in the last digit only, which a JavaScript number cannot represent.
    const [first = '', second] = ['1', '2'].map((digit) => position.slice(0, -1) + digit)
    testTenant.tenant.writeStored([first, second].map((log_id) => ({ log_id, type: 's' })))
    const page = await testTenant.source.readPage(first, signal)
    expect(idsOf(page.entries)).toEqual([second])
    expect(page.next).toBe(second)
    await testTenant.source.readPage(page.next, signal)
    expect(testTenant.simulator.requests.all().at(-1)?.url).toBe(`${LOGS}?from=${second}&take=100`)
  })

  test('a page at the end of the log is empty, and reading continues from the same checkpoint', async () => {
    const page = await testTenant.source.readPage(startPosition, signal)
    expect(page).toMatchObject({ entries: [], next: startPosition })
  })

  test('a page contains the time of its request by Auth0’s clock', async () => {
    const clockAheadMs = 3_600_000
    const otherTenant = await openTenant({ now: () => Date.now() + clockAheadMs })
    const page = await otherTenant.source.readPage(startPosition, signal)
    const elapsedMs = Date.now() + clockAheadMs - page.requestedAt
    // The time in the HTTP header `date` is rounded down to whole seconds, so `requestedAt` can be early, but never late.
    expect(elapsedMs).toBeGreaterThanOrEqual(0)
    expect(elapsedMs).toBeLessThan(3_000)
    await otherTenant.close()
  })
})

describe('a search', () => {
  test('a search finds the entries of the given types in a span, newest first; the span includes its beginning, not its end', async () => {
    const ids = writeEntries(10)
    writeEntries(3, 's')
    const span = { from: startMs + 2, to: startMs + 5 }
    const search = { types: ['slo', 'scp'], span, prefix: '900', page: 0 }
    const found = await testTenant.source.search(search, signal)
    expect(idsOf(found.entries)).toEqual([ids[4], ids[3], ids[2]])
  })

  test('a search has pages of a hundred entries', async () => {
    writeEntries(230)
    const span = { from: startMs, to: startMs + 1000 }
    const pageSizes = [0, 1, 2].map(async (page) => {
      const search = { types: ['slo'], span, prefix: '900', page }
      return (await testTenant.source.search(search, signal)).entries.length
    })
    expect(await Promise.all(pageSizes)).toEqual([100, 100, 30])
  })

  test('readNewest finds the newest entry', async () => {
    const ids = writeEntries(3)
    expect(idsOf((await testTenant.source.readNewest(signal)).entries)).toEqual([ids[2]])
  })
})

describe('the token', () => {
  test('the token is requested once for any number of pages (pitfall 8)', async () => {
    for (let n = 0; n < 5; n++) await testTenant.source.readPage(startPosition, signal)
    expect(testTenant.simulator.requests.count({ path: '/oauth/token' })).toBe(1)
    expect(testTenant.simulator.requests.count({ path: LOGS })).toBe(5)
  })

  test('a token is not used during the last ten seconds of its lifetime', async () => {
    const otherTenant = await openTenant({}, { expiresInSeconds: 10 })
    onTestFinished(() => otherTenant.close())
    for (let n = 0; n < 2; n++) await otherTenant.source.readPage(startPosition, signal)
    expect(otherTenant.simulator.requests.count({ path: '/oauth/token' })).toBe(2)
  })

  test('concurrent requests share one token request', async () => {
    const { source, simulator } = testTenant
    await Promise.all([1, 2, 3].map(() => source.readPage(startPosition, signal)))
    expect(simulator.requests.count({ path: '/oauth/token' })).toBe(1)
  })

  test('an abort of the request that awaits the token does not fail a concurrent request', async () => {
    const { source, simulator } = testTenant
    const stop = new AbortController()
    simulator.faults.push({ path: '/oauth/token', respond: faults.delay(60_000) })
    const aborted = source.readPage(startPosition, stop.signal)
    const page = source.readPage(startPosition, signal)
    await expect.poll(() => simulator.requests.count({ path: '/oauth/token' })).toBe(1)
    stop.abort()
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' })
    await expect(page).resolves.toBeDefined()
    expect(simulator.requests.count({ path: '/oauth/token' })).toBe(2)
  })

  test('concurrent requests share the failure of a token request', async () => {
    const { source, simulator } = testTenant
    const respond = faults.respondWith(401, { error: 'access_denied' })
    simulator.faults.push({ path: '/oauth/token', respond })
    const pages = [1, 2, 3].map(() => source.readPage(startPosition, signal))
    for (const { status, reason } of (await Promise.allSettled(pages)) as PromiseRejectedResult[]) {
      expect([status, reason?.code]).toEqual(['rejected', 'AUTH0_CREDENTIALS'])
    }
    expect(simulator.requests.count({ path: '/oauth/token' })).toBe(1)
  })

  test('concurrent requests with a token that Auth0 refuses renew it once, and both succeed', async () => {
    const { source, simulator } = testTenant
    await source.readPage(startPosition, signal)
    simulator.faults.push({ path: LOGS, times: 2, respond: faults.respondWith(401, {}) })
    await Promise.all([1, 2].map(() => source.readPage(startPosition, signal)))
    expect(simulator.requests.count({ path: '/oauth/token' })).toBe(2)
  })

  test('a token that no header can carry is refused, is not quoted, and is not used again', async () => {
    const { simulator } = testTenant
    const respond = faults.respondWith(200, { access_token: 'two\nlines', expires_in: 86_400 })
    simulator.faults.push({ path: '/oauth/token', respond })
    const api = createManagementApi({
      domain: DOMAIN,
      baseUrl: simulator.url,
      ...simulator.credentials,
    })
    const error = await api.get('logs', signal).catch((error) => error)
    expect(error).toMatchObject({ code: 'AUTH0_UNAVAILABLE' })
    expect(inspect(error, { depth: 9 })).not.toContain('lines')
    await expect(api.get('logs', signal)).resolves.toMatchObject({ status: 200 })
  })

  test('the token is renewed once when Auth0 refuses it', async () => {
    await testTenant.source.readPage(startPosition, signal)
    testTenant.simulator.faults.push({ path: LOGS, respond: faults.invalidToken() })
    await testTenant.source.readPage(startPosition, signal)
    expect(testTenant.simulator.requests.count({ path: '/oauth/token' })).toBe(2)
  })

  test('the token is renewed when it lacks a scope, because the scope may have been granted since then', async () => {
    testTenant.simulator.faults.push({ path: LOGS, respond: faults.missingScope() })
    await testTenant.source.readPage(startPosition, signal)
    expect(testTenant.simulator.requests.count({ path: '/oauth/token' })).toBe(2)
  })

  test('the token is not renewed at every poll, because each renewal writes an entry to the log (pitfall 8)', async () => {
    testTenant.simulator.faults.push({ path: LOGS, times: 99, respond: faults.invalidToken() })
    for (let n = 0; n < 3; n++) {
      const refused = testTenant.source.readPage(startPosition, signal)
      await expect(refused).rejects.toMatchObject({ code: 'AUTH0_CREDENTIALS' })
    }
    // The first token and one renewal.
    expect(testTenant.simulator.requests.count({ path: '/oauth/token' })).toBe(2)
  })

  test('a token that Auth0 refuses after its renewal causes a credentials error, and is not renewed again', async () => {
    testTenant.simulator.faults.push({ path: LOGS, times: 99, respond: faults.invalidToken() })
    const error = await testTenant.source.readPage(startPosition, signal).catch((error) => error)
    expect(error).toMatchObject({ code: 'AUTH0_CREDENTIALS', status: 401 })
    expect(error.message).toMatch(/accepted the client credentials, but .* refused the token/)
    expect(error.message).toMatch(/AUTH0_DOMAIN .*AUTH0_BASE_URL/)
    expect(error.message).not.toContain('AUTH0_CLIENT_SECRET')
    expect(testTenant.simulator.requests.count({ path: '/oauth/token' })).toBe(2)
  })

  test('the error for the status 204 does not mention redirects', async () => {
    testTenant.simulator.faults.push({
      path: LOGS,
      times: 99,
      respond: faults.respondWith(204, {}),
    })
    const error = await testTenant.source.readPage(startPosition, signal).catch((error) => error)
    expect(error).toMatchObject({ code: 'AUTH0_UNAVAILABLE', status: 204 })
    expect(error.message).not.toContain('Redirects')
  })

  test('the error for a refused token request names the variables to check, and contains no secret', async () => {
    const clientSecret = 'a-wrong-secret'
    const error = await openSource(testTenant.simulator, { clientSecret })
      .readPage(startPosition, signal)
      .catch((error) => error)
    expect(error).toMatchObject({ code: 'AUTH0_CREDENTIALS', status: 401 })
    expect(error.message).toMatch(/AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET/)
    expect(JSON.stringify([error.message, error.cause?.message])).not.toContain(clientSecret)
    expect(testTenant.simulator.requests.count({ path: '/oauth/token' })).toBe(1)
  })

  test.each([
    ['a page of HTML', faults.html(200), /\(text\/html\)/],
    ['an error', faults.respondWith(200, { error: 'access_denied' }), /\(error access_denied\)/],
  ])(
    'if a token response with status 200 contains %s instead of a token, the error names this content',
    async (_what, respond, reason) => {
      testTenant.simulator.faults.push({ path: '/oauth/token', times: 99, respond })
      const grantedScopes: unknown[] = []
      const api = createManagementApi({
        domain: DOMAIN,
        baseUrl: testTenant.simulator.url,
        ...testTenant.simulator.credentials,
        onGrant: (scopes) => grantedScopes.push(scopes),
      })
      await expect(api.get('logs', signal)).rejects.toMatchObject({
        code: 'AUTH0_UNAVAILABLE',
        message: expect.stringMatching(reason),
      })
      expect(grantedScopes).toEqual([])
    },
  )

  test('the error for a token without the required scope names the scope to grant (pitfall 12)', async () => {
    const otherTenant = await openTenant({}, { scopes: ['read:users'] })
    const error = await otherTenant.source.readPage(startPosition, signal).catch((error) => error)
    expect(error).toMatchObject({ code: 'AUTH0_SCOPE', status: 403 })
    expect(error.message).toMatch(/read:logs and read:logs_users/)
    await otherTenant.close()
  })
})

describe('a transient error', () => {
  test.each([
    ['a server error', faults.respondWith(500, { statusCode: 500 })],
    ['an HTML page with status 502', faults.html(502)],
    ['an HTML page with status 200', faults.html(200)],
    ['truncated JSON', faults.cutOffJson()],
    ['a truncated body', faults.cutOffBody()],
    ['an object instead of a list', faults.respondWith(200, { logs: [] })],
    ['a connection reset', faults.connectionReset()],
    ['a redirect', faults.respondWith(302, '', { location: 'http://127.0.0.1:1/' })],
  ])('readPage retries after %s', async (_what, respond) => {
    const [id] = writeEntries(1)
    testTenant.simulator.faults.push({ path: LOGS, times: 2, respond })
    const page = await testTenant.source.readPage(startPosition, signal)
    expect(idsOf(page.entries)).toEqual([id])
    expect(testTenant.simulator.faults.pending()).toBe(0)
  })

  test('readPage retries at most four times', async () => {
    testTenant.simulator.faults.push({ path: LOGS, times: 99, respond: faults.html(502) })
    await expect(testTenant.source.readPage(startPosition, signal)).rejects.toMatchObject({
      code: 'AUTH0_UNAVAILABLE',
      status: 502,
    })
    expect(testTenant.simulator.requests.count({ path: LOGS })).toBe(5)
  })

  test('readPage does not follow a redirect, so that the token is not sent to another server', async () => {
    const receivedHeaders: unknown[] = []
    const otherServer = createServer((request, response) => {
      receivedHeaders.push(request.headers)
      response.end('[]')
    })
    const { url: location, close } = await openLoopback(otherServer)
    testTenant.simulator.faults.push({
      path: LOGS,
      respond: faults.respondWith(302, '', { location }),
    })
    await testTenant.source.readPage(startPosition, signal)
    expect(receivedHeaders).toEqual([])
    await close()
  })
})

describe('a permanent error', () => {
  test.each([400, 404])(
    'readPage does not retry if Auth0 refuses the checkpoint with status %d',
    async (status) => {
      testTenant.simulator.faults.push({
        path: LOGS,
        respond: faults.respondWith(status, { statusCode: status }),
      })
      await expect(testTenant.source.readPage(startPosition, signal)).rejects.toMatchObject({
        code: 'AUTH0_CHECKPOINT_REFUSED',
        status,
      })
      expect(testTenant.simulator.requests.count({ path: LOGS })).toBe(1)
    },
  )
})

describe('a page whose last entry has no log id', () => {
  // A log id that is a number has lost most of its digits.
  test.each([[null], [{ type: 's' }], ['nonsense'], [{ type: 's', log_id: 9.0020261123e55 }]])(
    'reading continues from the Link header if the last entry of a page is %j (pitfall 11)',
    async (lastEntry) => {
      const [id = ''] = writeEntries(1)
      const next = syntheticLogId(startMs + 500)
      const link = `<https://tenant.example/api/v2/logs?from=${next}&take=100>; rel="next"`
      const entries = [{ log_id: id, type: 's' }, lastEntry]
      testTenant.simulator.faults.push({
        path: LOGS,
        respond: faults.respondWith(200, entries, { link }),
      })
      await expect(testTenant.source.readPage(startPosition, signal)).resolves.toEqual({
        entries,
        next,
        requestedAt: expect.any(Number),
      })
    },
  )
})

describe('a page from which reading cannot continue', () => {
  test.each([
    ['whose last entry has no log id, and that has no Link header', [{ type: 's' }]],
    ['that ends at the checkpoint', [{ log_id: startPosition }]],
    // The ids of the tenant begin with 900, so an id that begins with 800 is before all of them.
    ['that ends before the checkpoint', [{ log_id: `800${startPosition.slice(3)}` }]],
  ])('readPage rejects a page %s', async (_what, entries) => {
    testTenant.simulator.faults.push({
      path: LOGS,
      times: 99,
      respond: faults.respondWith(200, entries),
    })
    await expect(testTenant.source.readPage(startPosition, signal)).rejects.toMatchObject({
      code: 'AUTH0_MALFORMED_PAGE',
    })
  })
})

describe('an abort', () => {
  test('an abort ends a request in flight', async () => {
    const stop = new AbortController()
    testTenant.simulator.faults.push({ path: LOGS, respond: faults.delay(60_000) })
    const page = testTenant.source.readPage(startPosition, stop.signal)
    await expect.poll(() => testTenant.simulator.requests.count({ path: LOGS })).toBe(1)
    stop.abort()
    await expect(page).rejects.toMatchObject({ code: 'ABORTED' })
  })

  test('an abort ends a token request in flight', async () => {
    const stop = new AbortController()
    testTenant.simulator.faults.push({ path: '/oauth/token', respond: faults.delay(60_000) })
    const page = testTenant.source.readPage(startPosition, stop.signal)
    await expect.poll(() => testTenant.simulator.requests.count({ path: '/oauth/token' })).toBe(1)
    stop.abort()
    await expect(page).rejects.toMatchObject({ code: 'ABORTED' })
  })

  test('an abort ends a wait for the rate limit', async () => {
    const stop = new AbortController()
    const respond = faults.rateLimited({ 'retry-after': '60' })
    testTenant.simulator.faults.push({ path: LOGS, respond })
    const page = testTenant.source.readPage(startPosition, stop.signal)
    await expect.poll(() => testTenant.simulator.requests.count({ status: 429 })).toBe(1)
    stop.abort()
    await expect(page).rejects.toMatchObject({ code: 'ABORTED' })
  })
})

test('no error quotes a response, because a response can be long and contain entries', async () => {
  const body = `<html>${'secret detail '.repeat(20_000)}`
  testTenant.simulator.faults.push({
    path: '/oauth/token',
    times: 99,
    respond: faults.respondWith(500, body),
  })
  const tokenError = await testTenant.source.readPage(startPosition, signal).catch((error) => error)
  testTenant.simulator.faults.clear()
  testTenant.simulator.faults.push({
    path: LOGS,
    times: 99,
    respond: faults.respondWith(200, body),
  })
  const pageError = await testTenant.source.readPage(startPosition, signal).catch((error) => error)
  expect([tokenError.code, pageError.code]).toEqual(['AUTH0_UNAVAILABLE', 'AUTH0_MALFORMED_PAGE'])
  expect(inspect([tokenError, pageError], { depth: 9 })).not.toContain('secret detail')
})

test('the error for a tenant that cannot be reached names the variable to check', async () => {
  const unreachableSource = openSource(testTenant.simulator, { baseUrl: 'http://127.0.0.1:1' })
  await expect(unreachableSource.readPage(startPosition, signal)).rejects.toMatchObject({
    code: 'AUTH0_UNAVAILABLE',
    message: expect.stringContaining('AUTH0_DOMAIN'),
  })
})
