import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** The API key of the benchmarks. It has every role. */
export const BENCH_KEY = 'bench'.padEnd(32, '-')

/** The tenant of the benchmarks. */
export const BENCH_DOMAIN = 'bench.example'

/** A process of the built program that serves the API. */
export interface ApiProcess {
  url: string
  close(): Promise<void>
}

/**
 * Starts `last-logout api` from the built program on a free port.
 *
 * @param nodeOptions Options of Node.js. Default: none.
 * @param env Environment variables that replace or extend those of the benchmarks.
 */
export async function startApi(
  databaseUrl: string,
  nodeOptions: string[] = [],
  env: Record<string, string> = {},
): Promise<ApiProcess> {
  const main = new URL('../dist/main.js', import.meta.url).pathname
  const api = spawn(process.execPath, [...nodeOptions, main, 'api'], {
    env: {
      PATH: process.env.PATH,
      AUTH0_DOMAIN: BENCH_DOMAIN,
      API_KEYS: `bench:${BENCH_KEY}:read+check+feed+logout`,
      DATABASE_URL: databaseUrl,
      PORT: '0',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(api, 'exit')
  let url: string | undefined
  for await (const line of createInterface(api.stdout)) {
    const entry = JSON.parse(line) as { msg: string; url?: string }
    if (entry.url !== undefined) url = entry.url
    if (url !== undefined) break
  }
  if (url === undefined) throw new Error('the API did not start: see the lines above')
  api.stdout.resume()
  return {
    url,
    async close() {
      api.kill()
      await exited
    },
  }
}
