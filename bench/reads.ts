/**
 * Compares the reads of `last-logout api` with a bare Fastify server, which checks the same key and sends the same
 * response without a database. Both run alternately under the same load, so that other load of the machine affects both
 * equally.
 *
 *   npm run bench:reads [-- users rounds seconds sharedBuffers]
 */
import { forkProcess, receiveMessage, startBenchRun } from './bench-run.js'
import { type Figure, reportFigures } from './figures.js'
import { compareServers, openLoadGenerator, printComparisonHead } from './load-generator.js'
import type { Load } from './load-process.js'
import { type BenchDatabase, openBenchDatabase } from './open-bench-database.js'
import { BENCH_KEY, startApi } from './start-api.js'
import { sessionIdOf, userIdOf } from './subjects.js'

const CONNECTIONS = 64
/**
 * The default of PostgreSQL's setting `shared_buffers` in this benchmark. The tables of 1,000,000 users fit in this
 * memory. PostgreSQL's documentation recommends a quarter of the machine's memory. PostgreSQL's own default is 128 MB.
 */
const DEFAULT_SHARED_BUFFERS = '1GB'
const ENDPOINTS = ['last-logout', 'check'] as const
const [users = '1000000', rounds = '5', seconds = '5', sharedBuffers = DEFAULT_SHARED_BUFFERS] =
  process.argv.slice(2)

const run = startBenchRun()
const startedAt = performance.now()
const bench = await openBenchDatabase(run, Number(users), sharedBuffers)
await vacuum(bench)
console.log(
  `${users} users and sessions stored in ${((performance.now() - startedAt) / 1000).toFixed(0)} s; shared_buffers ${sharedBuffers}; ` +
    `${CONNECTIONS} connections, ${rounds} rounds of ${seconds} s\n`,
)
const api = await startApi(run, bench.url)
const peerProcess = forkProcess(run, 'reads-peer.mjs', [
  BENCH_KEY,
  ...(await Promise.all(ENDPOINTS.map(readResponse))),
])
const peerUrl = await receiveMessage<string>(peerProcess)
const generator = openLoadGenerator(run)

printComparisonHead()
const figures: Figure[] = []
for (const endpoint of ENDPOINTS) {
  const { rate, p99 } = await compareServers(generator, {
    name: endpoint,
    apiUrl: api.url,
    peerUrl,
    rounds: Number(rounds),
    load: {
      endpoint,
      users: Number(users),
      connections: CONNECTIONS,
      durationMs: Number(seconds) * 1000,
    },
  })
  const peer = 'bare Fastify'
  figures.push(
    { name: `${endpoint}: throughput`, peer, ratios: rate, atLeast: 0.5 },
    { name: `${endpoint}: p99`, peer, ratios: p99, atMost: 2 },
  )
}
reportFigures(figures)
await run.end()

/** Does the work after a bulk load now. Otherwise, autovacuum and a checkpoint would do it during the measurement. */
async function vacuum({ database: { prisma } }: BenchDatabase): Promise<void> {
  await prisma.$executeRaw`VACUUM last_logout, session_logout`
  await prisma.$executeRaw`CHECKPOINT`
}

/** Reads the response of an endpoint, as JSON text. */
async function readResponse(endpoint: Load['endpoint']): Promise<string> {
  const iat = Math.floor(Date.now() / 1000)
  const claims = { sub: userIdOf(1), iat, 'https://last-logout/session_id': sessionIdOf(1) }
  const headers = { authorization: `Bearer ${BENCH_KEY}` }
  const response =
    endpoint === 'last-logout'
      ? await fetch(`${api.url}/v1/last-logout?user_id=${encodeURIComponent(userIdOf(1))}`, {
          headers,
        })
      : await fetch(`${api.url}/v1/check`, {
          method: 'POST',
          headers: { ...headers, 'content-type': 'application/json' },
          body: JSON.stringify({ claims }),
        })
  return response.text()
}
