/**
 * Compares the reads of `last-logout api` with a bare Fastify that checks the same key and sends the same response, which
 * it does not read from a database. Both run alternately under the same load, so that other load of the machine affects
 * both.
 *
 *   npm run bench:reads [-- users rounds seconds]
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { reportFigures } from './figures.js'
import type { Load, LoadResult } from './load-process.js'
import { openBenchDatabase } from './open-bench-database.js'
import { BENCH_KEY, startApi } from './start-api.js'
import { sessionIdOf, userIdOf } from './subjects.js'

const CONNECTIONS = 64
const ENDPOINTS = ['last-logout', 'check'] as const
const [users = '1000000', rounds = '5', seconds = '5'] = process.argv.slice(2)

const startedAt = performance.now()
const bench = await openBenchDatabase(Number(users))
console.log(
  `${users} users and sessions stored in ${((performance.now() - startedAt) / 1000).toFixed(0)} s; ` +
    `${CONNECTIONS} connections, ${rounds} rounds of ${seconds} s\n`,
)
const api = await startApi(bench.url)
const peerProcess = fork(new URL('./reads-peer.mjs', import.meta.url), [
  BENCH_KEY,
  ...(await Promise.all(ENDPOINTS.map(readResponse))),
])
const [peerUrl] = (await once(peerProcess, 'message')) as [string]
const loadProcess = fork(new URL('./load-process.ts', import.meta.url))

console.log(
  'endpoint      server         requests/s      p50      p99   CPU share of the load generator',
)
const ratios = { 'last-logout': newRatios(), check: newRatios() }
for (const endpoint of ENDPOINTS) {
  for (const url of [peerUrl, api.url]) await runLoad(url, endpoint)
  for (let round = 0; round < Number(rounds); round++) {
    const peer = await runLoad(peerUrl, endpoint)
    const measured = await runLoad(api.url, endpoint)
    printResult(endpoint, 'bare Fastify', peer)
    printResult(endpoint, 'last-logout', measured)
    ratios[endpoint].rate.push(measured.requestsPerSecond / peer.requestsPerSecond)
    ratios[endpoint].p99.push(measured.p99Ms / peer.p99Ms)
  }
}
reportFigures(
  ENDPOINTS.flatMap((endpoint) => [
    {
      name: `${endpoint}: throughput`,
      peer: 'bare Fastify',
      ratios: ratios[endpoint].rate,
      atLeast: 0.5,
    },
    { name: `${endpoint}: p99`, peer: 'bare Fastify', ratios: ratios[endpoint].p99, atMost: 2 },
  ]),
)

loadProcess.kill()
peerProcess.kill()
await api.close()
await bench.close()

function newRatios(): { rate: number[]; p99: number[] } {
  return { rate: [], p99: [] }
}

async function runLoad(url: string, endpoint: Load['endpoint']): Promise<LoadResult> {
  const durationMs = Number(seconds) * 1000
  const load: Load = { url, endpoint, users: Number(users), connections: CONNECTIONS, durationMs }
  loadProcess.send(load)
  const [result] = (await once(loadProcess, 'message')) as [LoadResult]
  return result
}

/** Reads a response of the API, as JSON. */
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

function printResult(endpoint: string, server: string, result: LoadResult): void {
  const { requestsPerSecond, p50Ms, p99Ms, cpuShare } = result
  console.log(
    `${endpoint.padEnd(11)}   ${server.padEnd(12)} ${requestsPerSecond.toFixed(0).padStart(10)}   ` +
      `${p50Ms.toFixed(1).padStart(6)} ms ${p99Ms.toFixed(1).padStart(6)} ms   ${cpuShare.toFixed(2)}`,
  )
}
