/**
 * Measures the CPU time of each command, and its ratio to the CPU time of an empty Node process. Each round runs every
 * command once, so that other load of the machine affects all commands equally.
 *
 *   npm run bench:cli [-- rounds]
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { generateHistory } from '../src/simulator/history.js'
import { createSimulator } from '../src/simulator/server.js'
import { createTenant } from '../src/simulator/tenant.js'
import { openInRun, startBenchRun } from './bench-run.js'
import { reportFigures } from './figures.js'
import { median } from './median.js'
import { openTemporaryPostgres } from './temporary-postgres.js'

const MAIN = new URL('../dist/main.js', import.meta.url).pathname
/** The module that reports the CPU times of its process on file descriptor 3. */
const PROBE = new URL('./cpu-probe.mjs', import.meta.url).pathname
/** A token without a valid signature. Its header is `{}`. */
const TOKEN = `e30.${Buffer.from('{"sub":"auth0|1","iat":1}').toString('base64url')}.c2ln`
/** The age of the oldest entry of the log. */
const HISTORY_MS = 3_600_000
const EMPTY_PROCESS = 'node -e 0'
const [rounds = '5'] = process.argv.slice(2)

/** The CPU times of one run of a command. */
interface CpuTimes {
  /** CPU time until the first query to PostgreSQL. Undefined if the command sent no query. */
  firstQueryMs: number | undefined
  /** CPU time until the exit. */
  exitMs: number
}

/** A command to measure. */
interface Command {
  /** The command-line arguments of `node`. */
  args: string[]
  /** The command receives SIGTERM when it has printed this text. Undefined if the command ends by itself. */
  stopAfter?: string
}

const program = (...args: string[]): Command => ({ args: [MAIN, ...args] })
const commands = new Map<string, Command>([
  [EMPTY_PROCESS, { args: ['-e', '0'] }],
  ['--help', program('--help')],
  ['migrate', program('migrate')],
  ['status', program('status')],
  ['explain', program('explain', TOKEN)],
  ['logout', program('logout', 'auth0|1')],
  ['floor raise', program('floor', 'raise', 'now')],
  ['action print', program('action', 'print')],
  ['sync', program('sync')],
  ['doctor', program('doctor')],
  ['api', { ...program('api'), stopAfter: '"serving"' }],
  ['worker', { ...program('worker'), stopAfter: '"polling"' }],
  ['start', { ...program('start'), stopAfter: '"polling"' }],
])

const run = startBenchRun()
const postgres = await openTemporaryPostgres(run)
const tenant = createTenant({ domain: 'bench.example', lagMs: () => 0 })
// Without an older entry, `doctor` would fail, because Auth0 could have deleted entries before they were read.
const nowMs = Date.now()
tenant.writeStored(
  generateHistory({ entries: 100, startMs: nowMs - HISTORY_MS, endMs: nowMs, logoutShare: 0.2 }),
)
const simulator = await openInRun(run, createSimulator({ tenant }))
const env = {
  PATH: process.env.PATH,
  AUTH0_DOMAIN: 'bench.example',
  AUTH0_BASE_URL: simulator.url,
  AUTH0_CLIENT_ID: simulator.credentials.clientId,
  AUTH0_CLIENT_SECRET: simulator.credentials.clientSecret,
  DATABASE_URL: postgres.url,
  API_KEYS: 'bench:a-key-of-more-than-32-characters!',
  PORT: '0',
}
// Creates the tables, which the other commands need.
await measure(program('migrate'))
const results = new Map([...commands.keys()].map((name): [string, CpuTimes[]] => [name, []]))
for (let round = 0; round < Number(rounds); round++) {
  for (const [name, command] of commands) results.get(name)?.push(await measure(command))
}
printResults(results)
const emptyRuns = results.get(EMPTY_PROCESS) ?? []
results.delete(EMPTY_PROCESS)
reportFigures(
  [...results].map(([name, runs]) => ({
    name: `${name}: CPU time`,
    peer: EMPTY_PROCESS,
    ratios: runs.map(({ exitMs }, round) => exitMs / (emptyRuns[round]?.exitMs ?? Number.NaN)),
  })),
)
await run.end()

async function measure({ args, stopAfter }: Command): Promise<CpuTimes> {
  const child = spawn(process.execPath, ['--import', PROBE, ...args], {
    env,
    cwd: tmpdir(),
    stdio: ['ignore', 'pipe', 'ignore', 'pipe'],
  })
  run.closers.push(async () => void child.kill())
  let output = ''
  child.stdout?.on('data', (text) => {
    output += text
    // A second signal would force the exit.
    if (stopAfter !== undefined && !child.killed && output.includes(stopAfter))
      child.kill('SIGTERM')
  })
  let probeOutput = ''
  child.stdio[3]?.on('data', (text) => {
    probeOutput += text
  })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${args.join(' ')} exited with ${code}; output: ${output}`)
  const readMs = (event: string) => {
    const us = new RegExp(`^${event} (\\d+)$`, 'm').exec(probeOutput)?.[1]
    return us === undefined ? undefined : Number(us) / 1000
  }
  const exitMs = readMs('exit')
  if (exitMs === undefined)
    throw new Error(`the probe of ${args.join(' ')} reported nothing; output: ${output}`)
  return { firstQueryMs: readMs('query'), exitMs }
}

function printResults(results: Map<string, CpuTimes[]>): void {
  const emptyProcessMs = median((results.get(EMPTY_PROCESS) ?? []).map(({ exitMs }) => exitMs))
  const formatCell = (ms: number | undefined) =>
    ms === undefined ? '' : `${ms.toFixed(0)} ms, ${(ms / emptyProcessMs).toFixed(1)}`
  console.log(`CPU time, and its ratio to ${EMPTY_PROCESS}; median of ${rounds} rounds\n`)
  console.log(`${''.padEnd(14)} ${'first query'.padEnd(14)} end`)
  for (const [name, runs] of results) {
    const queryTimesMs = runs.flatMap(({ firstQueryMs }) => firstQueryMs ?? [])
    const firstQueryMs = queryTimesMs.length === 0 ? undefined : median(queryTimesMs)
    const exitMs = median(runs.map((run) => run.exitMs))
    console.log(`${name.padEnd(14)} ${formatCell(firstQueryMs).padEnd(14)} ${formatCell(exitMs)}`)
  }
}
