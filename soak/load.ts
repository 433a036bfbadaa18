/** Generates the load of a soak in its own process: sends reads at a fixed rate, and subscribes to the change feed. */
import { Agent, request } from 'node:http'
import { createLastLogoutClient, type LastLogoutClient } from '../src/client/index.js'
import { buildPeople } from '../src/simulator/people.js'
import type { LoadReport, Logout } from './messages.js'

const READ_TICK_MS = 10
const WATCH_TICK_MS = 50
/** Maximum number of reads in flight: those of two seconds. */
const MAX_IN_FLIGHT = 1_000
const REQUEST_TIMEOUT_MS = 5_000

const [url = '', apiKey = '', perSecond, users, feeds] = process.argv.slice(2)
const people = buildPeople(Number(users), 'soak.example')
const agent = new Agent({ keepAlive: true, maxSockets: 32 })
const clients = Array.from({ length: Number(feeds) }, () =>
  createLastLogoutClient({ url, apiKey, onUnknown: 'deny' }),
)
await Promise.all(clients.map((client) => client.ready()))

let latencies: number[] = []
let failed = 0
let inFlight = 0
let behind: { storage: number; logout: number }[] = []
let staleMs = 0
let pending: Logout[] = []

/** Sends a read. Its latency counts from the time at which it was due, so that a stalled service cannot hide delays. */
async function read(n: number, dueAt: number): Promise<void> {
  if (inFlight >= MAX_IN_FLIGHT) {
    failed += 1
    return
  }
  inFlight += 1
  const status = await (n % 2 === 0 ? readLastLogout(n) : check(n)).catch(() => 0)
  inFlight -= 1
  if (status === 200) latencies.push(performance.now() - dueAt)
  else failed += 1
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

function send(method: string, path: string, body?: string): Promise<number> {
  const headers = {
    authorization: `Bearer ${apiKey}`,
    ...(body && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
  }
  return new Promise((resolve, reject) => {
    const sent = request(new URL(path, url), {
      method,
      agent,
      headers,
      timeout: REQUEST_TIMEOUT_MS,
    })
    sent.on('error', reject)
    sent.on('timeout', () => sent.destroy(new Error('timeout')))
    sent.on('response', (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0))
    })
    sent.end(body)
  })
}

function hasReceived(client: LastLogoutClient, { userId, sessionId, dateMs }: Logout): boolean {
  const iat = Math.floor(dateMs / 1_000) - 3_600
  return client.checkNow({ sub: userId, sid: sessionId, iat }).outcome === 'revoked'
}

function watch(): void {
  const now = Date.now()
  pending = pending.filter((logout) => {
    if (!clients.every((client) => hasReceived(client, logout))) return true
    behind.push({ storage: now - logout.storedAtMs, logout: now - logout.dateMs })
    return false
  })
  for (const client of clients) {
    const { asOf } = client.checkNow({ sub: 'auth0|unknown', iat: Math.floor(now / 1_000) })
    staleMs = Math.max(staleMs, asOf === null ? now : now - asOf)
  }
}

function report(): LoadReport {
  const now = Date.now()
  const sorted = latencies.sort((a, b) => a - b)
  const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? Number.NaN
  const max = (values: number[]) => values.reduce((a, b) => Math.max(a, b), 0)
  const done: LoadReport = {
    reads: sorted.length,
    failed,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    logouts: behind.length,
    behindMs: max([
      ...behind.map(({ storage }) => storage),
      ...pending.map(({ storedAtMs }) => now - storedAtMs),
    ]),
    behindLogoutMs: max(behind.map(({ logout }) => logout)),
    staleMs,
  }
  latencies = []
  behind = []
  failed = 0
  staleMs = 0
  return done
}

const startedAt = performance.now()
let sent = 0
setInterval(() => {
  const due = ((performance.now() - startedAt) * Number(perSecond)) / 1_000
  for (; sent < due; sent++) void read(sent, startedAt + (sent * 1_000) / Number(perSecond))
}, READ_TICK_MS)
setInterval(watch, WATCH_TICK_MS)

process.on('message', (message: 'report' | Logout) => {
  if (message === 'report') process.send?.(report())
  else pending.push(message)
})
process.on('disconnect', () => process.exit())
process.send?.('ready')
