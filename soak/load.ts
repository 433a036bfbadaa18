/** Generates the load of a soak in its own process. Sends reads at a fixed rate, and subscribes to the change feed. */
import { Agent, request } from 'node:http'
import { createLastLogoutClient, type LastLogoutClient } from '../src/client/index.js'
import { buildPeople } from '../src/simulator/people.js'
import type { LoadReport, Logout } from './messages.js'

/** Interval after which the reads that are due are sent. */
const READ_TICK_MS = 10
/** Interval after which the load checks what the subscribers have received. */
const MEASURE_TICK_MS = 50

/** Maximum number of reads in flight: the reads of two seconds at 500 reads per second. */
const MAX_IN_FLIGHT = 1_000
const REQUEST_TIMEOUT_MS = 5_000

const [url = '', apiKey = '', readsPerSecond, userCount, subscriberCount] = process.argv.slice(2)
const people = buildPeople(Number(userCount), 'soak.example')
const agent = new Agent({ keepAlive: true, maxSockets: 32 })
const clients = Array.from({ length: Number(subscriberCount) }, () =>
  createLastLogoutClient({ url, apiKey, onUnknown: 'deny' }),
)
await Promise.all(clients.map((client) => client.ready()))

let latenciesMs: number[] = []
let failedReads = 0
let readsInFlight = 0
/** The times from the storage of a logout at Auth0 until every subscriber had received it. */
let delaysSinceStorageMs: number[] = []
/** Maximum age of `as_of`: the instant up to which the service has read the log. */
let maxAgeMs = 0
/** Logouts that at least one subscriber has not received. */
let pendingLogouts: Logout[] = []

/**
 * Sends a read. The latency begins at `dueAtMs`, when the read should be sent. If the service stalls, reads are sent
 * late, and the latency must include this delay.
 */
async function sendRead(index: number, dueAtMs: number): Promise<void> {
  if (readsInFlight >= MAX_IN_FLIGHT) {
    failedReads += 1
    return
  }
  readsInFlight += 1
  const status = await (index % 2 === 0 ? readLastLogout(index) : check(index)).catch(() => 0)
  readsInFlight -= 1
  if (status === 200) latenciesMs.push(performance.now() - dueAtMs)
  else failedReads += 1
}

function readLastLogout(n: number): Promise<number> {
  return send('GET', `/v1/last-logout?user_id=${encodeURIComponent(userOf(n))}&session_id=S${n}`)
}

function check(n: number): Promise<number> {
  const claims = { sub: userOf(n), sid: `S${n}`, iat: Math.floor(Date.now() / 1_000) - 60 }
  return send('POST', '/v1/check', JSON.stringify({ claims }))
}

function userOf(n: number): string {
  return people[n % people.length]?.subject.userId ?? ''
}

/** Sends a request, and returns the status of the response. */
function send(method: string, path: string, body?: string): Promise<number> {
  const headers = {
    authorization: `Bearer ${apiKey}`,
    ...(body && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
  }
  return new Promise((resolve, reject) => {
    const clientRequest = request(new URL(path, url), {
      method,
      agent,
      headers,
      timeout: REQUEST_TIMEOUT_MS,
    })
    clientRequest.on('error', reject)
    clientRequest.on('timeout', () => clientRequest.destroy(new Error('timeout')))
    clientRequest.on('response', (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0))
    })
    clientRequest.end(body)
  })
}

/** Whether a client refuses a token from an hour before the logout. */
function hasReceived(client: LastLogoutClient, { userId, sessionId, dateMs }: Logout): boolean {
  const iat = Math.floor(dateMs / 1_000) - 3_600
  return client.checkNow({ sub: userId, sid: sessionId, iat }).outcome === 'revoked'
}

/** Records the delay of each logout that every subscriber has received by now, and the age of the data. */
function measureFeedDelay(): void {
  const nowMs = Date.now()
  pendingLogouts = pendingLogouts.filter((logout) => {
    if (!clients.every((client) => hasReceived(client, logout))) return true
    delaysSinceStorageMs.push(nowMs - logout.storedAtMs)
    return false
  })
  for (const client of clients) {
    const { asOf } = client.checkNow({ sub: 'auth0|unknown', iat: Math.floor(nowMs / 1_000) })
    // Without `as_of`, the age counts from 1970, which is longer than any limit.
    maxAgeMs = Math.max(maxAgeMs, asOf === null ? nowMs : nowMs - asOf)
  }
}

/** Returns the measurements since the last report, and begins new ones. */
function takeReport(): LoadReport {
  const nowMs = Date.now()
  const sortedMs = latenciesMs.sort((a, b) => a - b)
  const percentile = (fraction: number) =>
    sortedMs[Math.floor(sortedMs.length * fraction)] ?? Number.NaN
  const max = (values: number[]) => values.reduce((a, b) => Math.max(a, b), 0)
  const report: LoadReport = {
    successfulReads: sortedMs.length,
    failedReads,
    p50Ms: percentile(0.5),
    p99Ms: percentile(0.99),
    receivedLogouts: delaysSinceStorageMs.length,
    maxDelaySinceStorageMs: max([
      ...delaysSinceStorageMs,
      ...pendingLogouts.map(({ storedAtMs }) => nowMs - storedAtMs),
    ]),
    maxAgeMs,
  }
  latenciesMs = []
  delaysSinceStorageMs = []
  failedReads = 0
  maxAgeMs = 0
  return report
}

const startedAt = performance.now()
let sentCount = 0
setInterval(() => {
  const dueCount = ((performance.now() - startedAt) * Number(readsPerSecond)) / 1_000
  for (; sentCount < dueCount; sentCount++)
    void sendRead(sentCount, startedAt + (sentCount * 1_000) / Number(readsPerSecond))
}, READ_TICK_MS)
setInterval(measureFeedDelay, MEASURE_TICK_MS)

process.on('message', (message: 'report' | Logout) => {
  if (message === 'report') process.send?.(takeReport())
  else pendingLogouts.push(message)
})
process.on('disconnect', () => process.exit())
process.send?.('ready')
