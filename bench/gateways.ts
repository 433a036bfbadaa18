/**
 * Compares the endpoints `introspect` and `forward-auth` of `last-logout api` with a bare Fastify server, which
 * verifies the same tokens, but reads no logouts. Both run alternately under the same load. The service caches verified
 * tokens, and the peer verifies each token. So each endpoint is measured twice: with tokens that the service has seen
 * before, and with more tokens than its cache holds. Then measures the time from a request to `/logout` until the last
 * client refuses the tokens of the user.
 *
 *   npm run bench:gateways [-- users rounds seconds logouts clients]
 */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import { MAX_VERIFIED_TOKENS } from '../src/tokens/verified-tokens.js'
import { forkProcess, receiveMessage, startBenchRun } from './bench-run.js'
import { type Figure, reportFigures } from './figures.js'
import { compareServers, openLoadGenerator, printComparisonHead } from './load-generator.js'
import { openBenchDatabase } from './open-bench-database.js'
import { quantile } from './quantile.js'
import { BENCH_DOMAIN, BENCH_KEY, startApi } from './start-api.js'
import { sessionIdOf, userIdOf } from './subjects.js'

const CONNECTIONS = 64
/** The tokens of a load. Each server gets all in turn, so the service finds all or none of them in its cache. */
const LOADS = [
  { name: 'tokens seen before', count: 500, atLeast: 0.5 },
  { name: 'tokens seen for the first time', count: MAX_VERIFIED_TOKENS + 1_000 },
]
const MAX_TOKENS = Math.max(...LOADS.map(({ count }) => count))
/** Pause before each logout. */
const PAUSE_MS = 30
const ISSUER = `https://${BENCH_DOMAIN}/`
const AUDIENCE = 'https://orders.example.com'
const CLIENT_ID = 'SinglePageApp0000000000000000001'
const ENDPOINTS = ['introspect', 'forward-auth'] as const
const args = process.argv.slice(2)
const [users = '100000', rounds = '3', seconds = '4', logouts = '200', clients = '10'] = args

const run = startBenchRun()
const { privateKey, publicKey } = await generateKeyPair('RS256')
const jwk = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'RS256', use: 'sig' }
const keySet = createServer((_request, response) => response.end(JSON.stringify({ keys: [jwk] })))
await once(keySet.listen(0, '127.0.0.1'), 'listening')
const jwksUrl = `http://127.0.0.1:${(keySet.address() as AddressInfo).port}/jwks.json`

const bench = await openBenchDatabase(run, Number(users))
const api = await startApi(run, bench.url, {
  env: {
    API_KEYS: `bench:${BENCH_KEY}:feed+introspect+forward-auth`,
    TOKEN_AUDIENCES: `bench=${AUDIENCE}`,
    TOKEN_JWKS_URL: jwksUrl,
    LOGOUT_ENDPOINT: 'true',
  },
})
const peerProcess = forkProcess(run, 'gateways-peer.mjs', [BENCH_KEY, ISSUER, AUDIENCE, jwksUrl])
const peerUrl = await receiveMessage<string>(peerProcess)
const generator = openLoadGenerator(run)
const tokens = await Promise.all(Array.from({ length: MAX_TOKENS }, (_, n) => signAccessToken(n)))

console.log(`${users} users; ${CONNECTIONS} connections, ${rounds} rounds of ${seconds} s`)
const figures: Figure[] = []
for (const { name, count, ...bound } of LOADS) {
  console.log(`\n${count} ${name}; the bare Fastify verifies each token\n`)
  printComparisonHead()
  for (const endpoint of ENDPOINTS) {
    const toRequest = endpoint === 'introspect' ? introspectRequest : forwardAuthRequest
    const { rate } = await compareServers(generator, {
      name: endpoint,
      apiUrl: api.url,
      peerUrl,
      rounds: Number(rounds),
      load: {
        endpoint: 'check',
        requests: tokens.slice(0, count).map(toRequest),
        // The prepared requests replace those about random users.
        users: 0,
        connections: CONNECTIONS,
        durationMs: Number(seconds) * 1000,
      },
    })
    figures.push({
      name: `${endpoint}, ${name}: throughput`,
      peer: 'bare Fastify that verifies each token',
      ratios: rate,
      ...bound,
    })
  }
}
peerProcess.kill()
await measureLogouts()
keySet.close()
reportFigures(figures)
await run.end()

/** Signs the token of a user who has logged in again after the stored logout, with a session that has no logout. */
function signAccessToken(n: number): Promise<string> {
  const nowSeconds = Math.ceil(Date.now() / 1000)
  return sign({
    aud: AUDIENCE,
    azp: CLIENT_ID,
    scope: 'openid read:orders write:orders',
    sub: userIdOf(n),
    iat: nowSeconds + 1,
    exp: nowSeconds + 3_600,
    'https://last-logout/authenticated_at': nowSeconds + 1,
    'https://last-logout/session_id': sessionIdOf(Number(users) + n),
  })
}

function sign(claims: JWTPayload): Promise<string> {
  const header = { alg: 'RS256', kid: 'one', typ: 'JWT' }
  return new SignJWT({ iss: ISSUER, ...claims }).setProtectedHeader(header).sign(privateKey)
}

function introspectRequest(token: string): string {
  const body = `token=${token}`
  const headers = `POST /v1/introspect HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer ${BENCH_KEY}\r\n`
  const type = 'content-type: application/x-www-form-urlencoded\r\n'
  return `${headers}${type}content-length: ${body.length}\r\n\r\n${body}`
}

function forwardAuthRequest(token: string): string {
  const headers = `GET /v1/forward-auth HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer ${token}\r\n`
  return `${headers}x-last-logout-key: ${BENCH_KEY}\r\n\r\n`
}

/**
 * Logs users out by `/logout`, one after another. Prints the times until the redirect, and until the last client
 * refuses the user's token.
 */
async function measureLogouts(): Promise<void> {
  const child = forkProcess(run, 'feed-clients.ts', [api.url, clients])
  await receiveMessage(child)
  // The first logout opens connections. Its time is not measured.
  await logOut('auth0|first', child)
  const refusalTimesMs: number[] = []
  const redirectTimesMs: number[] = []
  for (let n = 0; n < Number(logouts); n++) {
    await sleep(PAUSE_MS)
    const { refusalMs, redirectMs } = await logOut(`auth0|logout-${n}`, child)
    refusalTimesMs.push(refusalMs)
    redirectTimesMs.push(redirectMs)
  }
  child.kill()
  const format = (values: number[]) =>
    `p50 ${quantile(values, 0.5).toFixed(1)} ms, p99 ${quantile(values, 0.99).toFixed(1)} ms, max ${Math.max(...values).toFixed(1)} ms`
  console.log(`${logouts} requests of /logout, ${clients} clients`)
  console.log(`until the redirect:             ${format(redirectTimesMs)}`)
  console.log(`until the last client refuses:  ${format(refusalTimesMs)}`)
}

/** Logs a user out. Returns the times until the redirect, and until the last client refuses the user's token. */
async function logOut(sub: string, child: ChildProcess) {
  const iat = Math.floor(Date.now() / 1000) - 60
  const idToken = await sign({
    aud: CLIENT_ID,
    sub,
    sid: `session of ${sub}`,
    iat,
    exp: iat + 3_600,
  })
  child.send(sub)
  await receiveMessage(child)
  const refused = receiveMessage<number>(child)
  const startedAtMs = performance.timeOrigin + performance.now()
  const response = await fetch(`${api.url}/logout?id_token_hint=${idToken}`, { redirect: 'manual' })
  const redirectMs = performance.timeOrigin + performance.now() - startedAtMs
  if (response.status !== 303) throw new Error(`the logout failed with ${response.status}`)
  const refusedAtMs = await refused
  return { refusalMs: refusedAtMs - startedAtMs, redirectMs }
}
