import { connect } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ApiKey } from '../../src/config/api-keys.js'
import { createMetrics, type Metrics } from '../../src/metrics/metrics.js'
import type { LastLogoutStore } from '../../src/ports.js'
import { syntheticLogId } from '../../src/rules/log-id.js'
import { receive } from '../../src/sync/receive.js'
import { bearer, listenOnLoopback, openApi } from '../_support/api.js'
import { CONSOLE_STATE } from '../_support/console-state.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openTestStore } from '../_support/store.js'
import {
  API_AUDIENCE,
  nowSeconds,
  openTenantTokens,
  type TenantTokens,
  TOKEN_ISSUER,
} from '../_support/tenant-tokens.js'
import { createTokenSigner } from '../_support/token-signer.js'
import {
  type FuzzedCredentials,
  type FuzzedRequest,
  fuzzedRequests,
  fuzzedSubscriptions,
} from './requests.js'
import { createResponseRules, type ResponseRules } from './response-rules.js'

/** Number of requests. The default is a short run; `npm run fuzz` sends more. */
const REQUEST_COUNT = Number(process.env.FUZZ_REQUESTS ?? 3_000)
const SEED = Number(process.env.FUZZ_SEED ?? 8)

/** Number of subscriptions to the change feed. The test reads each stream until its first event. */
const SUBSCRIPTION_COUNT = Math.ceil(REQUEST_COUNT / 20)

/** Number of concurrent requests. */
const CONCURRENCY = 20

/** The share of the requests that are corrupted. They are sent over sockets, because most are not valid HTTP. */
const CORRUPTED_SHARE = 0.05

/** Maximum duration of a request, in milliseconds. It includes the wait for the other requests of the batch. */
const MAX_RESPONSE_MS = 10_000

/** Maximum growth of the heap during the last nine tenths of the requests. */
const MAX_HEAP_GROWTH_BYTES = 8 * 1024 * 1024

/** Each of these routes must respond with 200 or 204 to at least one request. */
const ROUTES = [
  '/v1/last-logout',
  '/v1/users/:user_id/last-logout',
  '/v1/logouts',
  '/v1/users/:user_id/logout',
  '/v1/check',
  '/v1/changes',
  '/v1/log-stream',
  '/health/live',
  '/health/ready',
  '/health/fresh',
  '/metrics',
  '/openapi.json',
  // The route of GET /docs/.
  '/docs',
  '/docs/json',
  '/docs/static/*',
  '/console',
  '/console/data',
  '/console/data/explain',
  '/v1/introspect',
  '/v1/forward-auth',
  '/v1/forward-auth/*',
]

const ROLES: ApiKey['roles'] = [
  'read',
  'check',
  'feed',
  'logout',
  'metrics',
  'introspect',
  'forward-auth',
]

const credentials: FuzzedCredentials = {
  key: 'f'.repeat(32),
  token: 't'.repeat(32),
  tokensOfUsers: [],
}
const LOGOUT_TYPES = new Set(['slo', 'universal_logout_succeeded'])

let database: TestDatabase
let store: LastLogoutStore & { close(): Promise<void> }
let app: Awaited<ReturnType<typeof openApi>>
let url: URL
let metrics: Metrics
let tenantTokens: TenantTokens
let rules: ResponseRules
beforeAll(async () => {
  tenantTokens = await openTenantTokens()
  credentials.tokensOfUsers = await signTokens(tenantTokens)
  database = await createTestDatabase()
  store = await openTestStore(database)
  const checkpoint = syntheticLogId(Date.now())
  await store.setFirstCheckpoint(checkpoint, null)
  await store.storeCaughtUp(checkpoint, Date.now())
  metrics = createMetrics({ ...store, rateShare: 1 })
  metrics.expose('api')
  app = await openApi({
    ...store,
    metrics,
    // During a long run, `as_of` becomes old. /health/fresh must not respond with 503 then.
    maxLagMs: Number.MAX_SAFE_INTEGER,
    apiKeys: [{ name: 'fuzz', key: credentials.key, roles: ROLES, audience: API_AUDIENCE }],
    verifier: tenantTokens.verifier,
    logoutIssuers: [TOKEN_ISSUER],
    readConsoleState: async () => CONSOLE_STATE,
    logStream: {
      token: credentials.token,
      receive: (body, signal) => receive({ store, types: LOGOUT_TYPES }, body, signal),
    },
  })
  url = new URL(await listenOnLoopback(app))
  rules = createResponseRules(app.swagger(), credentials)
})
afterAll(async () => {
  await app.close()
  await store.close()
  await database.drop()
  await tenantTokens.close()
})

/**
 * Signs valid tokens, an ID token, an expired token, a token for another API, tokens with unusual claims, and tokens
 * with a foreign signature. No request logs out the user of the first token, which stays valid.
 */
async function signTokens({ signAccessToken, signIdToken }: TenantTokens): Promise<string[]> {
  const foreignSigner = await createTokenSigner('stranger')
  const claims = { iss: TOKEN_ISSUER, sub: 'auth0|1', aud: API_AUDIENCE, iat: nowSeconds() }
  return Promise.all([
    signAccessToken({ sub: 'auth0|never-logged-out' }),
    signAccessToken({ sub: 'auth0|2' }),
    signIdToken({ sub: 'auth0|1' }),
    signAccessToken({ exp: nowSeconds() - 1 }),
    signAccessToken({ aud: 'https://other.example' }),
    signAccessToken({ sub: 'x'.repeat(900) }),
    signAccessToken({ sub: 'auth0|ü\ud800', scope: 7, azp: {} }),
    signIdToken({ sid: undefined }),
    foreignSigner.sign({ ...claims, exp: nowSeconds() + 3_600 }),
    foreignSigner.sign({ ...claims, exp: nowSeconds() + 3_600 }, { kid: 'one' }),
  ])
}

/** Number of responses by status. */
const statusCounts = new Map<number, number>()
const countStatus = (status: number) =>
  statusCounts.set(status, (statusCounts.get(status) ?? 0) + 1)

test(`${REQUEST_COUNT} requests with a valid key cause no internal error and no memory leak`, async () => {
  // The heap still grows during the first requests, so its growth is measured after them.
  await sendRequests(REQUEST_COUNT / 10, SEED)
  const heapBytesBefore = measureHeapBytes()
  await sendRequests((REQUEST_COUNT * 9) / 10, SEED + 1)
  const heapBytesAfter = measureHeapBytes()
  process.stdout.write(`${formatReport(heapBytesBefore, heapBytesAfter)}\n`)
  expect(heapBytesAfter - heapBytesBefore).toBeLessThan(MAX_HEAP_GROWTH_BYTES)
  // Every kind of response must occur. Otherwise, the requests do not reach the routes.
  expect([...statusCounts.keys()]).toEqual(
    expect.arrayContaining([200, 204, 303, 400, 401, 404, 410, 415, 503]),
  )
  const successful = await readSuccessfulRoutes()
  expect(ROUTES.filter((route) => !successful.includes(route))).toEqual([])
  // Some requests report a logout of this user. The stored instant is never in the future.
  const response = await app.inject({
    url: '/v1/users/auth0%7C1/last-logout',
    headers: bearer({ name: '', roles: [], ...credentials }),
  })
  expect(response.json()).toMatchObject({ user_id: 'auth0|1', last_logout_at: expect.any(String) })
  expect(response.json().last_logout * 1_000).toBeLessThanOrEqual(Date.now())
}, 3_600_000)

test(`${SUBSCRIPTION_COUNT} subscriptions get a stream or an error, and no subscriber remains`, async () => {
  const statuses = new Set<number>()
  const batch = fc.array(fuzzedSubscriptions(credentials), { minLength: 5, maxLength: 5 })
  await fc.assert(
    fc.asyncProperty(batch, async (batchOfRequests) => {
      for (const status of await Promise.all(batchOfRequests.map(subscribe))) statuses.add(status)
      expect(unexpectedWarnings()).toBe('')
      app.logLines.length = 0
    }),
    { seed: SEED, numRuns: Math.ceil(SUBSCRIPTION_COUNT / 5), endOnFailure: true },
  )
  expect([...statuses]).toEqual(expect.arrayContaining([200, 400]))
  const readSubscriberCount = async () =>
    /^last_logout_feed_clients (\d+)$/m.exec((await metrics.scrape()).text)?.[1]
  await expect.poll(readSubscriberCount).toBe('0')
}, 3_600_000)

/** Subscribes, and reads the stream until its first event, or an error response until its end. Returns the status. */
async function subscribe(request: FuzzedRequest): Promise<number> {
  const socket = connect(Number(url.port), url.hostname)
  let response = ''
  socket.write(toBytes(request))
  for await (const chunk of socket) {
    response += chunk.toString('latin1')
    // Matches the end of an event. It does not match the end of the headers, because headers end with CRLF.
    if (/\ndata: .*\n\n/.test(response)) break
  }
  const [, status] = /^HTTP\/1\.1 (\d{3})/.exec(response) ?? []
  expect(Number(status), request.url).toBeLessThan(500)
  if (status === '200') expect(response).toMatch(/\nevent: (change|freshness|reset)\n/)
  return Number(status)
}

/** Sends random requests in batches, and checks each response and the log. */
async function sendRequests(count: number, seed: number): Promise<void> {
  const batch = fc.array(fuzzedRequests(credentials), {
    minLength: CONCURRENCY,
    maxLength: CONCURRENCY,
  })
  const numRuns = Math.ceil(count / CONCURRENCY)
  const corruptedCount = Math.max(1, CONCURRENCY * CORRUPTED_SHARE)
  await fc.assert(
    fc.asyncProperty(batch, fc.nat(), async (batchOfRequests, randomNumber) => {
      const corruptedExchanges = batchOfRequests.slice(0, corruptedCount).map((request) => {
        return exchange(corrupt(toBytes(request), randomNumber))
      })
      // `app.inject` accepts valid URLs only. A request with another path is sent over a socket.
      const intactExchanges = batchOfRequests.slice(corruptedCount).map((request) => {
        return URL.canParse(request.url, url.href) ? inject(request) : exchange(toBytes(request))
      })
      await Promise.all([...corruptedExchanges, ...intactExchanges])
      // No request may cause a warning. The lines are deleted, because they would count as a memory leak.
      expect(unexpectedWarnings()).toBe('')
      expect(rules.findSecret(app.logLines.join('\n'))).toBe(undefined)
      app.logLines.length = 0
    }),
    // Only a short run searches for a smaller batch that fails too, because the search takes long.
    { seed, numRuns, endOnFailure: REQUEST_COUNT > 10_000 },
  )
}

/** Returns the routes that responded with 200 or 204. */
async function readSuccessfulRoutes(): Promise<(string | undefined)[]> {
  const { text } = await metrics.scrape()
  return [...text.matchAll(/_count\{.*route="([^"]+)",status="20[04]"/g)].map(([, route]) => route)
}

/** Sends a request without a socket, and checks the response. */
async function inject({ payload, ...request }: FuzzedRequest): Promise<void> {
  const startedAt = performance.now()
  const response = await app.inject({
    ...request,
    method: request.method as 'GET',
    ...(payload !== undefined && { payload }),
  })
  expect(performance.now() - startedAt, request.url).toBeLessThan(MAX_RESPONSE_MS)
  countStatus(response.statusCode)
  if (isQueueFull(response.body)) return
  const { statusCode, headers, body } = response
  rules.check(request, { statusCode, text: `${JSON.stringify(headers)}\n${body}` })
  const isJson =
    response.headers['content-type']?.toString().startsWith('application/json') ?? false
  if (response.statusCode >= 400 && isJson && response.body !== '') {
    expect(response.json()).toEqual({
      statusCode: response.statusCode,
      error: expect.any(String),
      message: expect.any(String),
    })
  }
}

/** Whether the response reports that the queue of the log stream is full. The test sends more batches than fit. */
function isQueueFull(response: string): boolean {
  return response.includes('other batches are being stored')
}

/** Replaces one byte. The random number determines which byte is replaced, and its new value. */
function corrupt(bytes: Buffer, randomNumber: number): Buffer {
  bytes[randomNumber % bytes.length] = (randomNumber >> 8) & 0xff
  return bytes
}

/** Sends bytes over a socket, waits until the connection is closed, and checks the response. */
async function exchange(bytes: Buffer): Promise<void> {
  const socket = connect(Number(url.port), url.hostname)
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => void chunks.push(chunk))
  // The server may reset the connection.
  socket.on('error', () => {})
  const whenClosed = new Promise((resolve) => socket.once('close', resolve))
  socket.end(bytes)
  await whenClosed
  const response = Buffer.concat(chunks).toString('latin1')
  const [, status] = /^HTTP\/1\.1 (\d{3})/.exec(response) ?? []
  if (status === undefined || isQueueFull(response)) return
  countStatus(Number(status))
  // The bytes may be corrupted, so the method and the path are read from the bytes, as the server reads them.
  const [, method = '', path = ''] = /^(\S+) (\S+)/.exec(bytes.toString('latin1')) ?? []
  rules.check({ method, url: path }, { statusCode: Number(status), text: response })
}

/** Formats a request as the bytes of HTTP/1.1. */
function toBytes({ method, url, headers, payload = '' }: FuzzedRequest): Buffer {
  const body = Buffer.from(payload)
  const lines = Object.entries({
    host: 'x',
    ...headers,
    connection: 'close',
    'content-length': `${body.length}`,
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.concat([Buffer.from(`${method} ${url} HTTP/1.1\r\n${lines.join('')}\r\n`), body])
}

/**
 * Warnings that requests may cause: a replaced byte can change a key, `/logout` warns if it stores no
 * logout, and a batch of the log stream can be compressed.
 */
const EXPECTED_WARNINGS =
  /too many wrong keys|unknown key rejected|key without the role rejected|too many invalid logout hints|logout redirected without a report|log stream batch compressed/

/** Returns the log lines at the level `warn` (40) and above, without the expected warnings. */
function unexpectedWarnings(): string {
  const isWarning = (line: string) =>
    JSON.parse(line).level >= 40 && !EXPECTED_WARNINGS.test(JSON.parse(line).msg)
  return app.logLines.filter(isWarning).join('\n')
}

/** Returns the bytes of the heap that are in use after garbage collection. */
function measureHeapBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  return process.memoryUsage().heapUsed
}

function formatReport(heapBytesBefore: number, heapBytesAfter: number): string {
  const statuses = [...statusCounts]
    .sort(([a], [b]) => a - b)
    .map(([status, count]) => `${status}: ${count}`)
  const toMb = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(1)} MB`
  return `responses ${statuses.join(', ')}; heap after a tenth ${toMb(heapBytesBefore)}, at the end ${toMb(heapBytesAfter)}`
}
