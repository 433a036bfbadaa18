import { Redis } from 'ioredis'
import { generateKeyPair, jwtVerify, SignJWT } from 'jose'
import pg from 'pg'
import { Agent, request } from 'undici'
import { startRedis } from '../test/_support/redis.js'
import { type BenchRun, forkProcess, receiveMessage } from './bench-run.js'
import { builtClient } from './built-client.js'
import type { IntrospectionServer } from './introspection-process.js'
import { openBenchDatabase } from './open-bench-database.js'
import { BENCH_KEY, startApi } from './start-api.js'
import { userIdOf } from './subjects.js'

/** An operation that the benchmark measures: it checks whether a token was revoked, or verifies a token. */
export interface Peer {
  name: string
  /** Whether `check` is done when it returns. Otherwise, it returns a promise. */
  isSynchronous: boolean
  check(): unknown
}

/** Name of the check in the memory of a resource server. */
export const CHECK_BY_CLIENT = 'check by the client'

/** Name of the check by a request to last-logout. */
export const CHECK_BY_API = 'POST /v1/check'

/** Name of the verification of a token. */
export const VERIFICATION_BY_JOSE = 'RS256 jwtVerify of jose'

const USERS = 10_000
const POOL_SIZE = 10
const MAX_CONNECTIONS = 64
const userIds = Array.from({ length: USERS }, (_, n) => userIdOf(n))
/** The tokens are issued after every stored logout, so no check finds them revoked. */
const iat = Math.floor(Date.now() / 1000) + 60

/** Starts the servers, which end with the run, and returns the peers. The tables and Redis contain a logout of every user. */
export async function openPeers(run: BenchRun): Promise<Peer[]> {
  const bench = await openBenchDatabase(run, USERS)
  const api = await startApi(run, bench.url)
  const agent = new Agent({ connections: MAX_CONNECTIONS })
  run.closers.push(() => agent.close())
  return [
    await openClient(api.url, run),
    openApi(api.url, agent),
    await openVerification(),
    await openRedis(run),
    openPostgres(bench.url, run),
    await openIntrospection(agent, run),
  ]
}

async function openClient(url: string, { closers }: BenchRun): Promise<Peer> {
  const client = builtClient.createLastLogoutClient({ url, apiKey: BENCH_KEY, onUnknown: 'deny' })
  closers.push(client.close)
  await client.ready()
  return {
    name: CHECK_BY_CLIENT,
    isSynchronous: true,
    check() {
      const { outcome } = client.checkNow({ sub: randomUser(), iat })
      if (outcome !== 'accepted') throw new Error(`the outcome of a check is ${outcome}`)
    },
  }
}

function openApi(url: string, dispatcher: Agent): Peer {
  const headers = { authorization: `Bearer ${BENCH_KEY}`, 'content-type': 'application/json' }
  return {
    name: CHECK_BY_API,
    isSynchronous: false,
    async check() {
      const body = JSON.stringify({ claims: { sub: randomUser(), iat } })
      const response = await request(`${url}/v1/check`, {
        method: 'POST',
        headers,
        body,
        dispatcher,
      })
      const { revoked } = (await response.body.json()) as { revoked?: boolean }
      if (revoked !== false) throw new Error(`a check failed with ${response.statusCode}`)
    },
  }
}

async function openVerification(): Promise<Peer> {
  const { privateKey, publicKey } = await generateKeyPair('RS256')
  const claims = { sub: randomUser(), iat, exp: iat + 86_400, scope: 'openid profile read:orders' }
  const token = await new SignJWT(claims).setProtectedHeader({ alg: 'RS256' }).sign(privateKey)
  return {
    name: VERIFICATION_BY_JOSE,
    isSynchronous: false,
    check: () => jwtVerify(token, publicKey),
  }
}

async function openRedis({ closers }: BenchRun): Promise<Peer> {
  const server = await startRedis({ forceNew: true })
  if ('skip' in server)
    throw new Error(`${server.skip}: install it, on Debian with apt-get install redis-server`)
  closers.push(server.stop)
  const redis = new Redis(server.url)
  closers.push(async () => redis.disconnect())
  await redis.mset(userIds.flatMap((userId) => [userId, String(Date.now())]))
  return {
    name: 'Redis GET',
    isSynchronous: false,
    async check() {
      if ((await redis.get(randomUser())) === null) throw new Error('Redis has no logout of a user')
    },
  }
}

function openPostgres(connectionString: string, { closers }: BenchRun): Peer {
  const pool = new pg.Pool({ connectionString, max: POOL_SIZE })
  closers.push(() => pool.end())
  return {
    name: 'query by pg',
    isSynchronous: false,
    async check() {
      const { rowCount } = await pool.query({
        name: 'last-logout',
        text: 'SELECT at FROM last_logout WHERE user_id = $1',
        values: [randomUser()],
      })
      if (rowCount !== 1) throw new Error('PostgreSQL has no logout of a user')
    },
  }
}

async function openIntrospection(dispatcher: Agent, run: BenchRun): Promise<Peer> {
  const child = forkProcess(run, 'introspection-process.ts', [])
  const { url, authorization, token } = await receiveMessage<IntrospectionServer>(child)
  const headers = { authorization, 'content-type': 'application/x-www-form-urlencoded' }
  const body = new URLSearchParams({ token }).toString()
  return {
    name: 'introspection by oidc-provider',
    isSynchronous: false,
    async check() {
      const response = await request(url, { method: 'POST', headers, body, dispatcher })
      const { active } = (await response.body.json()) as { active?: boolean }
      if (active !== true) throw new Error(`introspection failed with ${response.statusCode}`)
    },
  }
}

function randomUser(): string {
  return userIds[Math.floor(Math.random() * USERS)] ?? ''
}
