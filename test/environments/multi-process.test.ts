import { once } from 'node:events'
import { type TestContext, test } from 'vitest'
import type { LastLogoutClient } from '../../src/client/index.js'
import { toKeyPrefix } from '../../src/jobs/redis.js'
import { lastLogoutPath } from '../../src/rules/last-logout-request.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { type RunningCommand, runCommand } from '../_support/cli.js'
import { openClient } from '../_support/client.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { expectedFromLog } from '../_support/expected-rows.js'
import {
  startRedisCluster,
  type TestCluster,
  waitForReplacement,
} from '../_support/redis-cluster.js'
import { KEY } from '../_support/served-api.js'
import { openTestStore, readRows } from '../_support/store.js'
import { DOMAIN, openTenant, type TestTenant } from '../_support/tenant.js'
import { WAIT } from '../_support/wait.js'
import { workerEnv } from '../_support/worker.js'
import { findProxy, type ProxyProgram, startProxy } from './proxy-programs.js'

const API_COUNT = 4
const WORKER_COUNT = 3

/** Options of `expect.poll` for the start of a command, in milliseconds. Several commands start at the same time. */
const START_WAIT = { ...WAIT, timeout: 40_000 }

/** The test writes a logout at this interval. */
const WRITE_INTERVAL_MS = 100
const POLL_INTERVAL_MS = 100

/**
 * Latency of the Logs API, in milliseconds. It is longer than the poll interval, so that the next poll is always due
 * during a poll.
 */
const LATENCY_MS = 150

/** Time without a response after which the nodes of the Redis Cluster consider a node dead, in milliseconds. */
const NODE_TIMEOUT_MS = 3_000

/** Maximum time from the failover to the next poll, in milliseconds. */
const MAX_RESUME_MS = 15_000

/** A login one minute before the test, in seconds since the epoch. All logouts are later. */
const LOGIN_SECONDS = Math.floor(Date.now() / 1000) - 60

/** The response header with the name of the API process. */
const SERVER_HEADER = 'served-by'

type Context = Pick<TestContext, 'expect' | 'onTestFinished'>

/** Returns HAProxy with a configuration that distributes the requests to these servers in turn. */
function haproxyOver(urls: string[]): ProxyProgram {
  const servers = urls.map((url, n) => `server api-${n} ${new URL(url).host}`)
  return {
    ...findProxy('HAProxy'),
    config: ({ port }) => `
      defaults
        mode http
        timeout connect 5s
        timeout client 60s
        timeout server 60s
      listen proxy
        bind 127.0.0.1:${port}
        balance roundrobin
        http-response set-header ${SERVER_HEADER} %s
        ${servers.join('\n        ')}
`,
  }
}

/**
 * Starts a command that is killed when the test ends. Resolves when the command has logged this message.
 *
 * @returns The process, and a function that parses the lines of its log so far.
 */
async function startAndWaitFor(
  { expect, onTestFinished }: Context,
  { name, message, env }: { name: string; message: string; env: Record<string, string> },
): Promise<{ command: RunningCommand; lines(): Record<string, unknown>[] }> {
  const command = runCommand([name], env)
  onTestFinished(() => command.kill('SIGKILL'))
  const lines = () => {
    // The text after the last newline is empty, or an incomplete line.
    const completeLines = command.stdout().split('\n').slice(0, -1)
    return completeLines.map((line) => JSON.parse(line) as Record<string, unknown>)
  }
  const exited = command.exited.then((code): never => {
    throw new Error(`${name} exited with ${code}: ${command.output()}`)
  })
  const logged = expect.poll(() => lines().map(({ msg }) => msg), START_WAIT).toContain(message)
  await Promise.race([logged, exited])
  return { command, lines }
}

/** Writes a logout of another user at each interval. Returns a function that stops writing and returns the users. */
function writeLogouts({ tenant }: TestTenant): () => string[] {
  const users: string[] = []
  const timer = setInterval(() => {
    const userId = `auth0|${users.length}`
    tenant.write(buildEntry('slo', { userId, sessionId: `S${users.length}` }))
    users.push(userId)
  }, WRITE_INTERVAL_MS)
  return () => {
    clearInterval(timer)
    return users
  }
}

/**
 * Delays the responses of the Logs API.
 *
 * @returns The start of each request, by `performance.now()`, and the maximum number of concurrent requests.
 */
function delayPolls({ simulator }: TestTenant) {
  const startedAt: number[] = []
  let openCount = 0
  let maxOpenCount = 0
  simulator.faults.push({
    path: '/api/v2/logs',
    times: Number.POSITIVE_INFINITY,
    async respond({ raw: response }) {
      startedAt.push(performance.now())
      openCount++
      maxOpenCount = Math.max(maxOpenCount, openCount)
      void once(response, 'close').then(() => openCount--)
      await new Promise((resolve) => setTimeout(resolve, LATENCY_MS))
    },
  })
  return { startedAt, maxOpenCount: () => maxOpenCount }
}

/** Kills the primary that stores the job queue. Resolves when another node has replaced it. */
async function failOver(cluster: TestCluster, database: TestDatabase): Promise<void> {
  const store = await openTestStore(database, { domain: DOMAIN })
  const key = toKeyPrefix(`${DOMAIN}/${await store.claim()}`)
  await store.close()
  const primary = await cluster.primaryOf(key)
  await primary.stop()
  await waitForReplacement(cluster, key, primary)
}

test('four APIs behind HAProxy and three workers lose no logout when the primary of the job queue is killed', {
  timeout: 120_000,
}, async (context) => {
  const { annotate, expect, onTestFinished } = context
  const cluster = await startRedisCluster({
    hasReplicas: true,
    args: ['--cluster-node-timeout', `${NODE_TIMEOUT_MS}`],
  })
  onTestFinished(() => cluster.stop())
  const database = await createTestDatabase()
  onTestFinished(() => database.drop())
  const testTenant = await openTenant()
  onTestFinished(() => testTenant.close())
  const polls = delayPolls(testTenant)
  const env = {
    ...workerEnv(testTenant, database),
    REDIS_URL: `redis://${cluster.nodes.map(({ url }) => new URL(url).host).join(',')}`,
    POLL_INTERVAL: `${POLL_INTERVAL_MS}ms`,
    LOG_LEVEL: 'debug',
    API_KEYS: `test:${KEY}:read+feed`,
    PORT: '0',
  }
  const start = (count: number, name: string, message: string) =>
    Promise.all(
      Array.from({ length: count }, () => startAndWaitFor(context, { name, message, env })),
    )
  const apis = await start(API_COUNT, 'api', 'serving')
  const urls = apis.map(({ lines }) => String(lines().find(({ url }) => url !== undefined)?.url))
  // The configuration of `haproxyOver` contains all servers, and does not use the target.
  const proxy = await startProxy(haproxyOver(urls), urls[0] ?? '')
  onTestFinished(proxy.close)
  const workers = await start(WORKER_COUNT, 'worker', 'polling')
  const stopWriting = writeLogouts(testTenant)
  onTestFinished(() => void stopWriting())
  const clients: LastLogoutClient[] = []
  for (let n = 0; n < API_COUNT; n++) {
    const client = openClient(proxy.url)
    onTestFinished(() => client.close())
    await expect.poll(() => isRevoked(client, 'auth0|0'), WAIT).toBe(true)
    clients.push(client)
  }

  const killedAt = performance.now()
  await failOver(cluster, database)
  const replacedAt = performance.now()
  const countPollsAfterFailover = () => polls.startedAt.filter((at) => at > replacedAt).length
  await expect
    .poll(countPollsAfterFailover, { timeout: MAX_RESUME_MS, interval: 20 })
    .toBeGreaterThan(WORKER_COUNT)
  const resumedAt = polls.startedAt.find((at) => at > replacedAt) ?? Number.NaN
  await annotate(
    `the replica replaced the primary ${Math.round(replacedAt - killedAt)} ms after the kill, ` +
      `and the first poll began ${Math.round(resumedAt - replacedAt)} ms later`,
  )

  const users = stopWriting()
  const expected = expectedFromLog(testTenant.tenant.entries()).rows
  expect(expected.users).toHaveLength(users.length)
  await expect.poll(() => readRows(database), WAIT).toEqual(expected)
  for (const client of clients) {
    const listMissedUsers = () => users.filter((userId) => !isRevoked(client, userId))
    await expect.poll(listMissedUsers, WAIT).toEqual([])
  }
  for (const { userId, at } of expected.users) {
    const responses = await readInTurn(proxy.url, userId)
    expect(new Set(responses.map(({ servedBy }) => servedBy)).size).toBe(API_COUNT)
    expect(new Set(responses.map((response) => response.at))).toEqual(new Set([at]))
  }

  // A poll starts while the previous one still runs. The lease, the exclusive right to poll, makes it end at once.
  expect(polls.maxOpenCount()).toBe(1)
  const outcomes = workers.flatMap(({ lines }) => lines().map(({ outcome }) => outcome))
  expect(outcomes).toContain('lease_held')
  for (const { command } of [...workers, ...apis]) {
    command.kill('SIGTERM')
    expect(await command.exited).toBe(0)
  }
})

/** Whether the client judges a token from before the first logout as revoked. */
function isRevoked(client: LastLogoutClient, userId: string): boolean {
  return client.checkNow({ sub: userId, iat: LOGIN_SECONDS }).outcome === 'revoked'
}

/**
 * Reads a user's last logout as often as there are API processes. HAProxy sends each request to the next process.
 *
 * @returns For each response, the name of the process and the instant of the logout.
 */
async function readInTurn(url: string, userId: string) {
  const responses: { servedBy: string | null; at: number }[] = []
  for (let n = 0; n < API_COUNT; n++) {
    const path = lastLogoutPath({ userId, sessionId: null }, 'query')
    const response = await fetch(new URL(path, url), {
      headers: { authorization: `Bearer ${KEY}` },
    })
    const { last_logout_at } = (await response.json()) as { last_logout_at: string }
    responses.push({
      servedBy: response.headers.get(SERVER_HEADER),
      at: Date.parse(last_logout_at),
    })
  }
  return responses
}
