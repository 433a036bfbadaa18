/**
 * Sends requests over a number of connections in its own process. Each connection sends a request when it has received
 * the previous response. To need less CPU time than the measured servers, it writes requests as text to plain sockets,
 * without an HTTP client. Runs one {@link Load} for each message of the parent process, and sends back a {@link
 * LoadResult}.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { quantile } from './quantile.js'
import { BENCH_KEY } from './start-api.js'
import { sessionIdOf, userIdOf } from './subjects.js'

/** The requests to send, and for how long. */
export interface Load {
  url: string
  endpoint: 'last-logout' | 'check' | 'logouts'
  /** Prepared requests, as text. If given, they are sent in turn instead of requests to `endpoint`. */
  requests?: string[]
  /** The number of users. Each request is about a random user. */
  users: number
  connections: number
  durationMs: number
}

/** The measurements of a load. */
export interface LoadResult {
  requestsPerSecond: number
  p50Ms: number
  p99Ms: number
  /** CPU time of the load generator, as a share of the duration. At 1, the load generator would limit the result. */
  cpuShare: number
}

/** Number of prepared requests that were sent to each server, by its URL. The next load continues with the next request. */
const preparedRequests = new Map<string, number>()

/** Returns the next prepared request, or builds a request about a random user. */
function buildRequest({ url, endpoint, users, requests = [] }: Load): string {
  const sent = preparedRequests.get(url) ?? 0
  const prepared = requests[sent % requests.length]
  if (prepared !== undefined) {
    preparedRequests.set(url, sent + 1)
    return prepared
  }
  const n = Math.floor(Math.random() * users)
  const headers = `HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer ${BENCH_KEY}\r\n`
  if (endpoint === 'last-logout') {
    return `GET /v1/last-logout?user_id=${encodeURIComponent(userIdOf(n))} ${headers}\r\n`
  }
  if (endpoint === 'logouts') return buildPost('/v1/logouts', headers, { user_id: userIdOf(n) })
  const iat = Math.floor(Date.now() / 1000)
  const claims = {
    'https://last-logout/authenticated_at': iat,
    'https://last-logout/session_id': sessionIdOf(n),
    iss: 'https://tenant.example/',
    sub: userIdOf(n),
    aud: 'https://orders.example.com',
    iat,
    exp: iat + 86_400,
  }
  return buildPost('/v1/check', headers, { claims })
}

function buildPost(path: string, headers: string, content: object): string {
  const body = JSON.stringify(content)
  return `POST ${path} ${headers}content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
}

/** Sends requests over one connection until `endMs`, one after the other. Adds their latencies to `latenciesMs`. */
async function sendRequests(socket: Socket, load: Load, endMs: number, latenciesMs: number[]) {
  let sentMs = performance.now()
  let received = ''
  let hasEnded = false
  const send = () => {
    sentMs = performance.now()
    socket.write(buildRequest(load))
  }
  const onResponse = (text: string) => {
    // Statuses 200 to 209 are successes.
    if (!text.startsWith('HTTP/1.1 20')) {
      socket.destroy(new Error(text))
      return
    }
    const nowMs = performance.now()
    latenciesMs.push(nowMs - sentMs)
    if (nowMs < endMs) return send()
    hasEnded = true
    socket.end()
  }
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    received += chunk
    const headersEnd = received.indexOf('\r\n\r\n')
    if (headersEnd === -1) return
    const [, length = '0'] = /content-length: (\d+)/i.exec(received) ?? []
    if (received.length < headersEnd + 4 + Number(length)) return
    const text = received
    received = ''
    onResponse(text)
  })
  send()
  await once(socket, 'close')
  if (!hasEnded) throw new Error(`${load.url} closed a connection before the end of the load`)
}

async function runLoad(load: Load): Promise<LoadResult> {
  const { hostname, port } = new URL(load.url)
  const sockets = Array.from({ length: load.connections }, () => connect(Number(port), hostname))
  await Promise.all(sockets.map((socket) => once(socket, 'connect')))
  const latenciesMs: number[] = []
  const [startMs, cpuBefore] = [performance.now(), process.cpuUsage()]
  const endMs = startMs + load.durationMs
  await Promise.all(sockets.map((socket) => sendRequests(socket, load, endMs, latenciesMs)))
  const elapsedMs = performance.now() - startMs
  const { user, system } = process.cpuUsage(cpuBefore)
  return {
    requestsPerSecond: (latenciesMs.length * 1000) / elapsedMs,
    p50Ms: quantile(latenciesMs, 0.5),
    p99Ms: quantile(latenciesMs, 0.99),
    cpuShare: (user + system) / 1000 / elapsedMs,
  }
}

process.on('message', async (load: Load) => {
  process.send?.(await runLoad(load))
})
