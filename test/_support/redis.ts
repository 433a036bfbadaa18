import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { Redis } from 'ioredis'
import { findUnusedPort } from './port.js'

/** A Redis server for tests. */
export interface TestRedis {
  /** The URL. Its scheme is `rediss:` if the server uses TLS, otherwise `redis:`. */
  url: string
  /** Kills the server. For the server of REDIS_URL, `stop` does nothing, and the functions below throw an error. */
  stop(): Promise<void>
  /** Starts the server again after `stop`. The server has the same port, but no data. */
  start(): Promise<void>
  /** Kills the server, calls `whileStopped`, and starts the server again. It has the same port, but no data. */
  restart(whileStopped?: () => Promise<void>): Promise<void>
  /** Suspends the server with SIGSTOP. Its connections stay open. */
  freeze(): void
  /** Continues the server after `freeze`. */
  thaw(): void
}

/** The options of {@link startRedis}. */
export interface TestRedisOptions {
  /** Whether to start a new server even if REDIS_URL is set. Default: false. */
  forceNew?: boolean
  /** `true`: a cluster of one node. `node`: a node that can join a cluster. Default: no cluster. */
  cluster?: boolean | 'node'
  /** The certificate of a new server: its file, the file of its key, and its host name. Default: no TLS. */
  tls?: { file: string; keyFile: string; host: string }
  /** The path of a configuration file for a new server. Default: none. */
  configFile?: string
  /** Additional arguments of a new redis-server. */
  args?: string[]
}

type Server = ChildProcessByStdio<Writable, Readable, null>

// A shell script that runs redis-server. When the standard input of the script closes, the script kills the server. The
// input closes when this process ends, so the server ends with it.
const WATCHER = `
"$@" &
server=$!
exec >&-
read -r line
kill -KILL "$server"
wait "$server" 2>&-`

/**
 * Returns the server of REDIS_URL, or starts `redis-server` on a free port of the loopback interface. A new server does
 * not save its data. If `redis-server` is not installed, `skip` contains the reason for skipping a test.
 */
export async function startRedis({
  forceNew = false,
  cluster = false,
  tls,
  configFile,
  args = [],
}: TestRedisOptions = {}): Promise<TestRedis | { skip: string }> {
  const { REDIS_URL } = process.env
  if (REDIS_URL && !forceNew) return toUncontrolledServer(REDIS_URL)
  if (spawnSync('redis-server', ['--version']).error) {
    return { skip: 'no redis-server in the PATH' }
  }
  return startServer({ cluster, args, ...(tls && { tls }), ...(configFile && { configFile }) })
}

function toUncontrolledServer(url: string): TestRedis {
  const throwError = (): never => {
    throw new Error('the server of REDIS_URL cannot be controlled by tests: use forceNew: true')
  }
  return {
    url,
    stop: async () => undefined,
    start: throwError,
    restart: throwError,
    freeze: throwError,
    thaw: throwError,
  }
}

async function startServer({
  cluster,
  tls,
  configFile,
  args = [],
}: Omit<TestRedisOptions, 'forceNew'>): Promise<TestRedis> {
  const dir = await mkdtemp(join(tmpdir(), 'last-logout-redis-'))
  const port = await findUnusedPort()
  const portArgs = tls ? ['--port', '0', '--tls-port', port] : ['--port', port]
  const allArgs = [
    ...(configFile ? [configFile] : []),
    ...portArgs,
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
  if (cluster) allArgs.push('--cluster-enabled', 'yes', '--cluster-port', await findUnusedPort())
  if (cluster) allArgs.push('--cluster-announce-ip', '127.0.0.1')
  const url = tls ? `rediss://${tls.host}:${port}` : `redis://127.0.0.1:${port}`
  let server = await launchServer(allArgs)
  if (cluster === true) await assignAllSlots(url)
  return {
    url,
    async stop() {
      await killServer(server)
      await rm(dir, { recursive: true, force: true })
    },
    async start() {
      await mkdir(dir, { recursive: true })
      server = await launchServer(allArgs)
    },
    async restart(whileStopped) {
      await killServer(server)
      await whileStopped?.()
      server = await launchServer(allArgs)
    },
    freeze() {
      sendSignal(server, 'SIGSTOP')
    },
    thaw() {
      sendSignal(server, 'SIGCONT')
    },
  }
}

/** Starts a server, and waits until the server accepts connections. */
async function launchServer(args: string[]): Promise<Server> {
  const server = spawn('sh', ['-c', WATCHER, 'sh', 'redis-server', ...args], {
    // The shell and the server form a process group, so that a signal reaches both.
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let output = ''
  for await (const chunk of server.stdout.iterator({ destroyOnReturn: false })) {
    output += chunk
    // A server prints the first text, and a Redis Sentinel the second.
    if (/Ready to accept connections|Sentinel ID is/.test(output)) {
      server.stdout.resume()
      return server
    }
  }
  throw new Error(`redis-server exited: ${output}`)
}

function sendSignal(server: Server, name: NodeJS.Signals): void {
  if (server.pid !== undefined) process.kill(-server.pid, name)
}

async function killServer(server: Server): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return
  const exited = once(server, 'exit')
  // A suspended shell would not see that its standard input closes.
  sendSignal(server, 'SIGCONT')
  server.stdin.end()
  await exited
}

/** Assigns all slots of a cluster to one node, and waits until the cluster is available. */
async function assignAllSlots(url: string): Promise<void> {
  const client = new Redis(url)
  await client.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16_383)
  while (!String(await client.call('CLUSTER', 'INFO')).includes('cluster_state:ok'));
  client.disconnect()
}
