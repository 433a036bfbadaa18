/**
 * Compares builds of the program by the time from their start until `start` responds to `/health/live`. The tables
 * exist already. The builds run alternately, so that other load of the machine affects all builds equally.
 *
 *   npm run bench:start -- dist/main.js dist/bundle/last-logout.mjs
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { relative, resolve } from 'node:path'
import { migrateQueue } from '../src/jobs/jobs.js'
import { environmentOf } from '../src/simulator/environment.js'
import { createSimulator } from '../src/simulator/server.js'
import { createTenant } from '../src/simulator/tenant.js'
import { applyMigrations } from '../src/store/migrations.js'
import { openInRun, startBenchRun } from './bench-run.js'
import { reportFigures } from './figures.js'
import { median } from './median.js'
import { createTemporaryDirectory, openTemporaryPostgres } from './temporary-postgres.js'

const ROUNDS = 11
const LIVE_CHECK_INTERVAL_MS = 2

const scripts = process.argv.slice(2).map((path) => resolve(path))
if (scripts.length === 0) throw new Error('usage: npm run bench:start -- SCRIPT…')

const run = startBenchRun()
const postgres = await openTemporaryPostgres(run)
const workingDirectory = await createTemporaryDirectory(run)
const tenant = createTenant({ domain: 'bench.example', lagMs: () => 0 })
const simulator = await openInRun(run, createSimulator({ tenant }))
await applyMigrations(postgres.url)
await migrateQueue(postgres.url)
const startTimesMs = new Map(scripts.map((script) => [script, [] as number[]]))
for (let round = 0; round <= ROUNDS; round++) {
  for (const script of scripts) {
    const ms = await measureStart(script)
    // Round 0 fills the caches of the file system. Its times do not count.
    if (round > 0) startTimesMs.get(script)?.push(ms)
  }
}

const [[firstScript, firstTimesMs] = ['', []], ...otherScripts] = startTimesMs
for (const [script, timesMs] of startTimesMs) {
  const range = `${Math.min(...timesMs).toFixed(0)} to ${Math.max(...timesMs).toFixed(0)}`
  console.log(`${median(timesMs).toFixed(0).padStart(6)} ms  (${range})  ${script}`)
}
reportFigures(
  otherScripts.map(([script, timesMs]) => ({
    name: `start of ${relative('.', script)}`,
    peer: relative('.', firstScript),
    ratios: timesMs.map((each, round) => each / (firstTimesMs[round] ?? Number.NaN)),
  })),
)
await run.end()

/** Starts the program, and returns the time until it responds, in milliseconds. */
async function measureStart(script: string): Promise<number> {
  const port = await findFreePort()
  const startedAt = performance.now()
  const child = spawn(process.execPath, [script, 'start'], {
    cwd: workingDirectory,
    env: {
      PATH: process.env.PATH,
      ...environmentOf(simulator),
      DATABASE_URL: postgres.url,
      API_KEYS: 'bench:0123456789abcdef0123456789abcdef',
      PORT: `${port}`,
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  run.closers.push(async () => void child.kill())
  const exited = once(child, 'exit')
  while (!(await isLive(port))) {
    if (child.exitCode !== null) throw new Error(`${script} exited with ${child.exitCode}`)
    await new Promise((resolve) => setTimeout(resolve, LIVE_CHECK_INTERVAL_MS))
  }
  const ms = performance.now() - startedAt
  child.kill('SIGTERM')
  await exited
  return ms
}

async function isLive(port: number): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${port}/health/live`).catch(() => null)
  await response?.arrayBuffer()
  return response?.status === 200
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : Number.NaN
}
