import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { type BenchRun, endWithRun } from './bench-run.js'

/** The API key of the benchmarks. */
export const BENCH_KEY = 'bench'.padEnd(32, '-')

/** The domain of the tenant of the benchmarks. */
export const BENCH_DOMAIN = 'bench.example'

/** A process of the built program that serves the API. */
export interface ApiProcess {
  pid: number
  url: string
}

/** Options of {@link startApi}. */
export interface StartOptions {
  /** Default: `api`. */
  command?: 'api' | 'start'
  /** Command-line options of Node.js. Default: none. */
  nodeOptions?: string[]
  /** The path of the program. Default: `dist/main.js`. */
  script?: string
  /** Further environment variables of the program. */
  env?: Record<string, string>
}

/**
 * Starts the built program on a free port. Resolves when the program serves the API and, with `start`, polls the log.
 * The program ends with the run. If it exits before, the run fails.
 */
export async function startApi(
  run: BenchRun,
  databaseUrl: string,
  { command = 'api', nodeOptions = [], script = 'dist/main.js', env = {} }: StartOptions = {},
): Promise<ApiProcess> {
  const main = new URL(`../${script}`, import.meta.url).pathname
  const api = spawn(process.execPath, [...nodeOptions, main, command], {
    env: {
      PATH: process.env.PATH,
      AUTH0_DOMAIN: BENCH_DOMAIN,
      API_KEYS: `bench:${BENCH_KEY}:read+check+feed+logout`,
      DATABASE_URL: databaseUrl,
      PORT: '0',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
    // At Ctrl-C, the terminal would end a child that is not detached, and this would count as an unexpected exit.
    detached: true,
  })
  endWithRun(run, api, `${script} ${command}`)
  const startedMessage = command === 'api' ? 'serving' : 'polling'
  let url: string | undefined
  let isStarted = false
  for await (const line of createInterface(api.stdout)) {
    const entry = JSON.parse(line) as { msg: string; url?: string }
    url ??= entry.url
    isStarted = entry.msg === startedMessage
    if (isStarted) break
  }
  if (!isStarted || url === undefined || api.pid === undefined)
    throw new Error(`${command} did not start: see the lines above`)
  // Discards further output, so that the pipe does not fill up.
  api.stdout.resume()
  return { pid: api.pid, url }
}
