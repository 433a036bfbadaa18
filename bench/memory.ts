/**
 * Measures the resident memory of `last-logout start` while it is idle, and of `last-logout api` under full load.
 * Prints the ratio of each to the memory of a Node.js process that has loaded the same libraries and does nothing.
 * Needs Linux.
 *
 *   npm run bench:memory [-- script loadSeconds]
 */
import type { ChildProcess } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { migrateQueue } from '../src/jobs/jobs.js'
import { forkProcess, receiveMessage, startBenchRun } from './bench-run.js'
import { type Figure, reportFigures } from './figures.js'
import { openLoadGenerator } from './load-generator.js'
import { median } from './median.js'
import { openBenchDatabase } from './open-bench-database.js'
import { type ApiProcess, startApi } from './start-api.js'

const USERS = 100_000
const CONNECTIONS = 64
/** The load has this number of parts. They send requests to two endpoints alternately. */
const LOAD_PARTS = 6
const IDLE_MS = 20_000

/** The packages that `start` loads with an external database, and without a proxy. */
const LIBRARIES = [
  '@fastify/rate-limit',
  '@fastify/swagger',
  '@fastify/swagger-ui',
  '@prisma/adapter-pg',
  '@prisma/client/runtime/client',
  'auth0',
  'bullmq',
  'commander',
  'fast-json-stringify',
  'fastify',
  'fastify-type-provider-zod',
  'ioredis',
  'pg',
  'pino',
  'prom-client',
  'zod',
]

const [script = 'dist/bundle/last-logout.mjs', loadSeconds = '60'] = process.argv.slice(2)

/** The message that `tenant-process.ts` sends. */
interface TenantMessage {
  urls: [string]
  credentials: { clientId: string; clientSecret: string }
}

const run = startBenchRun()
const bench = await openBenchDatabase(run, USERS)
await migrateQueue(bench.url)
await measure(bench.url)
await run.end()

async function measure(databaseUrl: string): Promise<void> {
  const librariesProcess = startMeasured('memory-peer.mjs', LIBRARIES)
  const nodeProcess = startMeasured('memory-peer.mjs', [])
  await Promise.all([receiveMessage(librariesProcess), receiveMessage(nodeProcess)])
  const service = await startService(databaseUrl)
  const api = await startApi(run, databaseUrl, { script })
  await sleep(IDLE_MS)
  const { nowMiB: peerMiB } = await readMemory(librariesProcess.pid)
  const peer = 'Node.js with the libraries'
  const figures: Figure[] = []
  const addFigure = (name: string, mib: number) => {
    console.log(`${name.padEnd(40)} ${mib.toFixed(0).padStart(7)}`)
    if (name === peer) return
    figures.push({ name: `memory: ${name}`, peer, ratios: [mib / peerMiB], values: { MiB: mib } })
  }
  console.log(`${script}, Node.js ${process.version}\n`)
  console.log(`${''.padEnd(44)} MiB`)
  addFigure('Node.js', (await readMemory(nodeProcess.pid)).nowMiB)
  addFigure(peer, peerMiB)
  addFigure(`start, idle for ${IDLE_MS / 1000} s`, (await readMemory(service.pid)).nowMiB)
  addFigure(`api, idle for ${IDLE_MS / 1000} s`, (await readMemory(api.pid)).nowMiB)

  const rate = await runLoad(api.url)
  const { nowMiB, maxMiB } = await readMemory(api.pid)
  addFigure(`api, after ${loadSeconds} s of full load`, nowMiB)
  addFigure('api, maximum', maxMiB)
  const idleSeconds = IDLE_MS / 1000 + Number(loadSeconds)
  addFigure(`start, idle for ${idleSeconds} s`, (await readMemory(service.pid)).nowMiB)
  console.log(`\n${rate.toFixed(0)} requests/s over ${CONNECTIONS} connections`)
  reportFigures(figures)
}

/** Starts `last-logout start` with a simulated tenant. */
async function startService(databaseUrl: string): Promise<ApiProcess> {
  const tenant = startMeasured('tenant-process.ts', ['1000', '0'])
  const { urls, credentials } = await receiveMessage<TenantMessage>(tenant)
  return startApi(run, databaseUrl, {
    command: 'start',
    script,
    env: {
      AUTH0_BASE_URL: urls[0],
      AUTH0_CLIENT_ID: credentials.clientId,
      AUTH0_CLIENT_SECRET: credentials.clientSecret,
    },
  })
}

/** Sends requests to both endpoints alternately. Returns the median of the rates, in requests per second. */
async function runLoad(url: string): Promise<number> {
  const generator = openLoadGenerator(run)
  const rates: number[] = []
  for (let part = 0; part < LOAD_PARTS; part++) {
    const { requestsPerSecond } = await generator.run({
      url,
      endpoint: part % 2 === 0 ? 'last-logout' : 'check',
      users: USERS,
      connections: CONNECTIONS,
      durationMs: (Number(loadSeconds) * 1000) / LOAD_PARTS,
    })
    rates.push(requestsPerSecond)
  }
  return median(rates)
}

/** Runs a file of this directory in its own process. */
function startMeasured(file: string, args: string[]): ChildProcess {
  // The peers run without the TypeScript loader of this process, which takes memory.
  return forkProcess(run, file, args, file.endsWith('.mjs') ? { nodeOptions: [] } : {})
}

/** Reads the resident memory of a process, and the maximum since its start. */
async function readMemory(pid: number | undefined): Promise<{ nowMiB: number; maxMiB: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const readMiB = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024
  return { nowMiB: readMiB('VmRSS'), maxMiB: readMiB('VmHWM') }
}
