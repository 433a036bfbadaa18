import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { Redis } from 'ioredis'
import { freePort } from './port.js'

/** A Redis to test with. */
export interface TestRedis {
  url: string
  /** Kills it; one that REDIS_URL names is left alone. */
  stop(): Promise<void>
  /** Starts it again after `stop`, empty, on the same port. Only for one of our own. */
  start(): Promise<void>
  /** Kills it, and starts it empty on the same port after `whileAway`. Only for one of our own. */
  restart(whileAway?: () => Promise<void>): Promise<void>
  /** Lets it answer nothing any more, with its connections open. Only for one of our own. */
  freeze(): void
  /** Lets it answer again. */
  thaw(): void
}

/** Which Redis is wanted. */
export interface TestRedisOptions {
  /** One of our own even where REDIS_URL is set; default false. */
  own?: boolean
  /** Of our own: make it a cluster of one node; default false. */
  cluster?: boolean
  /** Of our own: more arguments for redis-server. */
  args?: string[]
}

type Server = ChildProcessByStdio<Writable, Readable, null>

// Kills redis-server when its stdin closes, which only we hold: it never outlives this process.
const WATCHER = `
"$@" &
server=$!
exec >&-
read -r line
kill -KILL "$server"
wait "$server" 2>&-`

/**
 * Takes the Redis that REDIS_URL names, or starts one: `redis-server` from the PATH, on a free port
 * of the loopback, in memory only. `skip` tells why there is none.
 */
export async function startRedis({
  own = false,
  cluster = false,
  args = [],
}: TestRedisOptions = {}): Promise<TestRedis | { skip: string }> {
  const { REDIS_URL: given } = process.env
  if (given && !own) return givenServer(given)
  if (spawnSync('redis-server', ['--version']).error) {
    return { skip: 'no redis-server in the PATH' }
  }
  return startServer(cluster, args)
}

function givenServer(url: string): TestRedis {
  const refuse = (): never => {
    throw new Error('the Redis that REDIS_URL names is not ours')
  }
  const [start, restart, freeze, thaw] = [refuse, refuse, refuse, refuse]
  return { url, stop: async () => undefined, start, restart, freeze, thaw }
}

async function startServer(cluster: boolean, args: string[]): Promise<TestRedis> {
  const dir = await mkdtemp(join(tmpdir(), 'last-logout-redis-'))
  const port = await freePort()
  const all = ['--port', port, '--bind', '127.0.0.1', '--dir', dir, '--save', '', ...args]
  if (cluster) all.push('--cluster-enabled', 'yes', '--cluster-port', await freePort())
  if (cluster) all.push('--cluster-announce-ip', '127.0.0.1')
  const url = `redis://127.0.0.1:${port}`
  let server = await launch(all)
  if (cluster) await claimSlots(url)
  return {
    url,
    async stop() {
      await kill(server)
      await rm(dir, { recursive: true, force: true })
    },
    async start() {
      await mkdir(dir, { recursive: true })
      server = await launch(all)
    },
    async restart(whileAway) {
      await kill(server)
      await whileAway?.()
      server = await launch(all)
    },
    freeze() {
      signal(server, 'SIGSTOP')
    },
    thaw() {
      signal(server, 'SIGCONT')
    },
  }
}

/** Resolves when it accepts connections; rejects when it ends instead. */
async function launch(args: string[]): Promise<Server> {
  const server = spawn('sh', ['-c', WATCHER, 'sh', 'redis-server', ...args], {
    // A group of their own, to be frozen together.
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let output = ''
  for await (const chunk of server.stdout.iterator({ destroyOnReturn: false })) {
    output += chunk
    if (output.includes('Ready to accept connections')) {
      server.stdout.resume()
      return server
    }
  }
  throw new Error(`redis-server ended: ${output}`)
}

function signal(server: Server, name: NodeJS.Signals): void {
  if (server.pid !== undefined) process.kill(-server.pid, name)
}

async function kill(server: Server): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return
  const exited = once(server, 'exit')
  signal(server, 'SIGCONT')
  server.stdin.end()
  await exited
}

async function claimSlots(url: string): Promise<void> {
  const client = new Redis(url)
  await client.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16_383)
  while (!String(await client.call('CLUSTER', 'INFO')).includes('cluster_state:ok'));
  client.disconnect()
}
