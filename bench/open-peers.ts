import { fork } from 'node:child_process'
import { once } from 'node:events'
import { Redis } from 'ioredis'
import { generateKeyPair, jwtVerify, SignJWT } from 'jose'
import pg from 'pg'
import { Agent, request } from 'undici'
import { type Closers, createClosers } from '../src/async/closers.js'
import { startRedis } from '../test/_support/redis.js'
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

/** Starts the servers, and returns the peers. The tables and Redis contain a logout of every user. */
export async function openPeers(): Promise<{ peers: Peer[]; close(): Promise<void> }> {
  const closers = createClosers()
  try {
    const bench = await openBenchDatabase(USERS)
    closers.push(bench.close)
    const api = await startApi(bench.url)
    closers.push(api.close)
    const agent = new Agent({ connections: MAX_CONNECTIONS })
    closers.push(() => agent.close())
    const peers = [
      await openClient(api.url, closers),
      openApi(api.url, agent),
      await openVerification(),
      await openRedis(closers),
      openPostgres(bench.url, closers),
      await openIntrospection(agent, closers),
    ]
    return { peers, close: closers.close }
  } catch (error) {
    await closers.close()
    throw error
  }
}

async function openClient(url: string, closers: Closers): Promise<Peer> {
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

async function openRedis(closers: Closers): Promise<Peer> {
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

function openPostgres(connectionString: string, closers: Closers): Peer {
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

async function openIntrospection(dispatcher: Agent, closers: Closers): Promise<Peer> {
  const child = fork(new URL('./introspection-process.ts', import.meta.url))
  closers.push(async () => void child.kill())
  const [{ url, authorization, token }] = (await once(child, 'message')) as [IntrospectionServer]
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
