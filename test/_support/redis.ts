import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { Redis } from 'ioredis'
import { freePort } from './port.js'

/** A Redis server for tests. */
export interface TestRedis {
  /** A URL with the scheme `rediss:` if the server has a certificate, or `redis:`. */
  url: string
  /** Kills the server. Does nothing for the server of REDIS_URL. The next functions throw for this server. */
  stop(): Promise<void>
  /** Starts the server again after `stop`, on the same port and without data. */
  start(): Promise<void>
  /** Kills the server, calls `whileStopped`, and starts the server on the same port without data. */
  restart(whileStopped?: () => Promise<void>): Promise<void>
  /** Suspends the server with SIGSTOP. Its connections stay open. */
  freeze(): void
  /** Continues the server after `freeze`. */
  thaw(): void
}

/** The options of {@link startRedis}. */
export interface TestRedisOptions {
  /** Whether to start a new server even if REDIS_URL is set. Default: false. */
  own?: boolean
  /** `true`: the server is a cluster of one node. `node`: the server can join a cluster. Default: false. */
  cluster?: boolean | 'node'
  /** The certificate of a new server: its file, the file of its key, and its host name. Default: no TLS. */
  tls?: { file: string; keyFile: string; host: string }
  /** Configuration file of a new server. Default: none. */
  file?: string
  /** Additional arguments of a new redis-server. */
  args?: string[]
}

type Server = ChildProcessByStdio<Writable, Readable, null>

// A shell script that runs redis-server, and kills the server when its standard input closes. Standard input closes
// when this process ends, so the server never outlives this process.
const WATCHER = `
"$@" &
server=$!
exec >&-
read -r line
kill -KILL "$server"
wait "$server" 2>&-`

/**
 * Uses the server of REDIS_URL, or starts `redis-server` on a free port of the loopback interface, without persistence.
 * If `redis-server` is not in the PATH, `skip` contains the reason to skip a test.
 */
export async function startRedis({
  own = false,
  cluster = false,
  tls,
  file,
  args = [],
}: TestRedisOptions = {}): Promise<TestRedis | { skip: string }> {
  const { REDIS_URL } = process.env
  if (REDIS_URL && !own) return externalServer(REDIS_URL)
  if (spawnSync('redis-server', ['--version']).error) {
    return { skip: 'no redis-server in the PATH' }
  }
  return startServer({ cluster, args, ...(tls && { tls }), ...(file && { file }) })
}

function externalServer(url: string): TestRedis {
  const refuse = (): never => {
    throw new Error('the server of REDIS_URL cannot be controlled by tests: use own: true')
  }
  const [start, restart, freeze, thaw] = [refuse, refuse, refuse, refuse]
  return { url, stop: async () => undefined, start, restart, freeze, thaw }
}

async function startServer({
  cluster,
  tls,
  file,
  args = [],
}: Omit<TestRedisOptions, 'own'>): Promise<TestRedis> {
  const dir = await mkdtemp(join(tmpdir(), 'last-logout-redis-'))
  const port = await freePort()
  const listen = tls ? ['--port', '0', '--tls-port', port] : ['--port', port]
  const allArgs = [
    ...(file ? [file] : []),
    ...listen,
    '--bind',
    '127.0.0.1',
    '--dir',
    dir,
    '--save',
    '',
    ...args,
  ]
  if (tls) {
    allArgs.push('--tls-cert-file', tls.file, '--tls-key-file', tls.keyFile)
    allArgs.push('--tls-ca-cert-file', tls.file, '--tls-auth-clients', 'no')
    allArgs.push('--tls-cluster', 'yes', '--tls-replication', 'yes')
  }
  if (cluster) allArgs.push('--cluster-enabled', 'yes', '--cluster-port', await freePort())
  if (cluster) allArgs.push('--cluster-announce-ip', '127.0.0.1')
  const url = tls ? `rediss://${tls.host}:${port}` : `redis://127.0.0.1:${port}`
  let server = await launch(allArgs)
  if (cluster === true) await claimSlots(url)
  return {
    url,
    async stop() {
      await kill(server)
      await rm(dir, { recursive: true, force: true })
    },
    async start() {
      await mkdir(dir, { recursive: true })
      server = await launch(allArgs)
    },
    async restart(whileStopped) {
      await kill(server)
      await whileStopped?.()
      server = await launch(allArgs)
    },
    freeze() {
      signal(server, 'SIGSTOP')
    },
    thaw() {
      signal(server, 'SIGCONT')
    },
  }
}

/** Starts a server, and waits until the server accepts connections. */
async function launch(args: string[]): Promise<Server> {
  const server = spawn('sh', ['-c', WATCHER, 'sh', 'redis-server', ...args], {
    // The shell and the server form a process group, so that a signal reaches both.
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let output = ''
  for await (const chunk of server.stdout.iterator({ destroyOnReturn: false })) {
    output += chunk
    if (/Ready to accept connections|Sentinel ID is/.test(output)) {
      server.stdout.resume()
      return server
    }
  }
  throw new Error(`redis-server exited: ${output}`)
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
