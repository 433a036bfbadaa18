import { connect } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createMetrics, type Metrics } from '../../src/metrics/metrics.js'
import type { LastLogoutStore } from '../../src/ports.js'
import { syntheticLogId } from '../../src/rules/log-id.js'
import { receive } from '../../src/sync/receive.js'
import { bearer, listen, openApi } from '../_support/api.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openStore } from '../_support/store.js'
import { type FuzzedRequest, fuzzedFollowers, fuzzedRequests } from './requests.js'

/** The whole of it is a command; what runs with the other tests is short. */
const REQUESTS = Number(process.env.FUZZ_REQUESTS ?? 3_000)
const SEED = Number(process.env.FUZZ_SEED ?? 8)

/** How many follow the feed beside them: each stream is read to its first event. */
const FOLLOWERS = Math.ceil(REQUESTS / 20)

/** How many are under way at once. */
const AT_ONCE = 20

/** Of the requests, how many go over a socket of their own, as they would come from a client. */
const SOCKET_SHARE = 0.05

/** What a heap may have grown by while nine tenths of the requests were answered, in bytes. */
const GROWTH = 8 * 1024 * 1024

/** Each of them is to be reached with something that it serves. */
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
  // What GET of /docs/ is counted as.
  '/docs',
]

const credentials = { key: 'f'.repeat(32), token: 't'.repeat(32) }
const types = new Set(['slo', 'universal_logout_succeeded'])

let database: TestDatabase
let store: LastLogoutStore & { close(): Promise<void> }
let app: Awaited<ReturnType<typeof openApi>>
let url: URL
let metrics: Metrics
beforeAll(async () => {
  database = await createTestDatabase()
  store = await openStore(database)
  const checkpoint = syntheticLogId(Date.now())
  await store.begin(checkpoint, null)
  await store.storeCaughtUp(checkpoint, Date.now())
  metrics = createMetrics({ ...store, rateShare: 1 })
  metrics.expose('api')
  app = await openApi({
    ...store,
    metrics,
    // However long it takes, /health/fresh is not 503.
    maxLagMs: Number.MAX_SAFE_INTEGER,
    apiKeys: [
      { name: 'fuzz', key: credentials.key, roles: ['read', 'check', 'feed', 'logout', 'metrics'] },
    ],
    logStream: {
      token: credentials.token,
      receive: (body, signal) => receive({ store, types }, body, signal),
    },
  })
  url = new URL(await listen(app))
})
afterAll(async () => {
  await app.close()
  await store.close()
  await database.drop()
})

/** How often each status was answered with. */
const answered = new Map<number, number>()
const count = (status: number) => answered.set(status, (answered.get(status) ?? 0) + 1)

test(`${REQUESTS} requests with a valid key are answered, none by a fault, and nothing is left of them`, async () => {
  await send(REQUESTS / 10, SEED)
  const before = heapUsed()
  await send((REQUESTS * 9) / 10, SEED + 1)
  const after = heapUsed()
  process.stdout.write(`${report(before, after)}\n`)
  expect(after - before).toBeLessThan(GROWTH)
  // Each of the kinds of answers was met: nothing stood in the way of the rest.
  expect([...answered.keys()]).toEqual(expect.arrayContaining([200, 204, 400, 404, 410, 415]))
  expect(await readServed()).toEqual(expect.arrayContaining(ROUTES))
  const response = await app.inject({
    url: '/v1/users/auth0%7C1/last-logout',
    headers: bearer({ name: '', roles: [], ...credentials }),
  })
  expect(response.json()).toMatchObject({ user_id: 'auth0|1', last_logout_at: expect.any(String) })
  expect(response.json().last_logout * 1_000).toBeLessThanOrEqual(Date.now())
}, 3_600_000)

test(`${FOLLOWERS} followers are given a stream or a refusal, and none is left over`, async () => {
  const statuses = new Set<number>()
  const batch = fc.array(fuzzedFollowers(credentials), { minLength: 5, maxLength: 5 })
  await fc.assert(
    fc.asyncProperty(batch, async (drawn) => {
      for (const status of await Promise.all(drawn.map(follow))) statuses.add(status)
      expect(complaints()).toBe('')
      app.lines.length = 0
    }),
    { seed: SEED, numRuns: Math.ceil(FOLLOWERS / 5), endOnFailure: true },
  )
  expect([...statuses]).toEqual(expect.arrayContaining([200, 400]))
  const followers = async () =>
    /^last_logout_feed_clients (\d+)$/m.exec((await metrics.scrape()).text)
  await expect.poll(async () => (await followers())?.[1]).toBe('0')
}, 3_600_000)

/** Reads a stream to its first event, and a refusal to its end; returns the status. */
async function follow(request: FuzzedRequest): Promise<number> {
  const socket = connect(Number(url.port), url.hostname)
  let response = ''
  socket.write(toBytes(request))
  for await (const chunk of socket) {
    response += chunk.toString('latin1')
    // What a stream ends an event with; the head of any response ends in another way.
    if (/\ndata: .*\n\n/.test(response)) break
  }
  const [, status] = /^HTTP\/1\.1 (\d{3})/.exec(response) ?? []
  expect(Number(status), request.url).toBeLessThan(500)
  if (status === '200') expect(response).toMatch(/\nevent: (change|freshness|reset)\n/)
  return Number(status)
}

async function send(requests: number, seed: number): Promise<void> {
  const batch = fc.array(fuzzedRequests(credentials), { minLength: AT_ONCE, maxLength: AT_ONCE })
  const numRuns = Math.ceil(requests / AT_ONCE)
  const overSockets = Math.max(1, AT_ONCE * SOCKET_SHARE)
  await fc.assert(
    fc.asyncProperty(batch, fc.nat(), async (drawn, place) => {
      const spoilt = drawn.slice(0, overSockets).map((request) => {
        return exchange(spoil(toBytes(request), place))
      })
      // What no URL can say goes over the wire as it is.
      const whole = drawn.slice(overSockets).map((request) => {
        return URL.canParse(request.url, url.href) ? inject(request) : exchange(toBytes(request))
      })
      await Promise.all([...spoilt, ...whole])
      // No request may trouble whoever reads the log; nor are its lines what is measured.
      expect(complaints()).toBe('')
      app.lines.length = 0
    }),
    { seed, numRuns, endOnFailure: REQUESTS > 10_000 },
  )
}

/** The routes that have served somebody. */
async function readServed(): Promise<(string | undefined)[]> {
  const { text } = await metrics.scrape()
  return [...text.matchAll(/_count\{.*route="([^"]+)",status="20[04]"/g)].map(([, route]) => route)
}

async function inject({ payload, ...request }: FuzzedRequest): Promise<void> {
  const response = await app.inject({
    ...request,
    method: request.method as 'GET',
    ...(payload !== undefined && { payload }),
  })
  count(response.statusCode)
  if (isTurnedAway(response.body)) return
  expect(response.statusCode, complaints()).toBeLessThan(500)
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

/** Whether a log stream was told to come again: more is sent at once here than is taken. */
function isTurnedAway(response: string): boolean {
  return response.includes('other batches are being stored')
}

/** Changes a byte. */
function spoil(bytes: Buffer, place: number): Buffer {
  bytes[place % bytes.length] = (place >> 8) & 0xff
  return bytes
}

/** Sends bytes, and waits until the server is done with them. */
async function exchange(bytes: Buffer): Promise<void> {
  const socket = connect(Number(url.port), url.hostname)
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => void chunks.push(chunk))
  // Whatever is sent, the server may end the connection.
  socket.on('error', () => {})
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.end(bytes)
  await closed
  const response = Buffer.concat(chunks).toString('latin1')
  const [, status] = /^HTTP\/1\.1 (\d{3})/.exec(response) ?? []
  if (status === undefined || isTurnedAway(response)) return
  count(Number(status))
  expect(Number(status), bytes.toString('latin1')).toBeLessThan(500)
}

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

/** What the log says at `warn` and above; a changed byte may have made a key a wrong one. */
function complaints(): string {
  const isComplaint = (line: string) =>
    JSON.parse(line).level >= 40 && !line.includes('too many wrong keys')
  return app.lines.filter(isComplaint).join('\n')
}

function heapUsed(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  return process.memoryUsage().heapUsed
}

function report(before: number, after: number): string {
  const statuses = [...answered].sort(([a], [b]) => a - b).map(([status, n]) => `${status}: ${n}`)
  const toMb = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(1)} MB`
  return `answers ${statuses.join(', ')}; heap after a tenth ${toMb(before)}, at the end ${toMb(after)}`
}
