import { once } from 'node:events'
import * as fs from 'node:fs/promises'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { LastLogoutError } from '../errors.js'
import type { Program } from './binaries.js'
import {
  codeOf,
  ensureCluster,
  type Home,
  inUse,
  NAME,
  notStarted,
  openHome,
  orNull,
  startLoggedProgram,
  unusable,
} from './cluster.js'

const START_LIMIT_MS = 60_000
const START_ATTEMPTS = 3
const PREDECESSOR_LIMIT_MS = 5000
const SILENCE_MS = 3000
const HELD = 75
const NOT_DURABLE = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }

// PostgreSQL's own lock file names a process and a port, which mean nothing in another container: it
// would take the cluster that is in use there for one that has crashed. What the kernel holds means
// the same in all of them; it passes to the server and all of its processes, and ends with the last.
// A crash therefore leaves nothing behind. macOS has no flock, but no containers of its own either.
const LOCKED = `
exec 4<>"$1"
flock -w ${PREDECESSOR_LIMIT_MS / 1000} -E ${HELD} 4 2>/dev/null
[ $? -ne ${HELD} ] || exit ${HELD}
shift
exec "$@"`

/** A running PostgreSQL of our own. */
export interface EmbeddedPostgres {
  /** Connects to the database `last_logout`; holds the password. */
  readonly url: string
  /** Resolves when the server has ended, asked to or not. */
  readonly exited: Promise<unknown>
  /** Ends all connections and the server; resolves when it has exited. */
  close(): Promise<void>
}

/** Where the embedded PostgreSQL keeps its data, and how carefully. */
export interface EmbeddedPostgresOptions {
  /** Made when missing; serves one instance at a time. */
  dataDir: string
  /** Default true. False: fast, but lost when the machine crashes; for throw-away databases. */
  durable?: boolean
}

/**
 * Starts PostgreSQL on a free port of the loopback interface, with its data in `dataDir`. It does
 * not outlive this process. Throws `DATA_DIR_IN_USE` or `DATA_DIR_UNUSABLE`, and `CONFIGURATION`
 * where there is no embedded PostgreSQL for the platform.
 */
export async function createEmbeddedPostgres({
  dataDir,
  durable = true,
}: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  try {
    const home = await openHome(dataDir)
    await ensureCluster(home, durable)
    return await startServer(home, durable)
  } catch (error) {
    if (error instanceof LastLogoutError || codeOf(error) === undefined) throw error
    const problem = `cannot be used: ${(error as Error).message}. Set one that this user can write to.`
    throw unusable(dataDir, problem, { cause: error })
  }
}

async function startServer(home: Home, durable: boolean): Promise<EmbeddedPostgres> {
  const password = (await fs.readFile(join(home.dataDir, 'password'), 'utf8')).trim()
  for (let attempt = 1; ; attempt += 1) {
    const port = await findFreePort()
    const url = `postgres://${NAME}:${password}@127.0.0.1:${port}`
    const server = await startLoggedProgram(home, serverCommand(home, port, durable))
    if (await becomesReady(server, url)) {
      return { url: `${url}/${NAME}`, exited: server.exited, close: server.stop }
    }
    await server.stop()
    if ((await server.exited) === HELD) throw inUse(home)
    const output = await server.readOutput()
    const [isLocked, isLast] = [/ F0001 FATAL:/.test(output), attempt === START_ATTEMPTS]
    if (isLocked && isLast) throw inUse(home)
    if (isLocked) await outwaitLock(home)
    // Who answers there took the port after it was found free; the next attempt has another one.
    else if (isLast || !(await answers(port))) throw notStarted(home, output)
  }
}

function serverCommand({ programs, cluster }: Home, port: number, durable: boolean): string[] {
  const settings = {
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    log_line_prefix: '%m %e ',
    log_checkpoints: 'off',
    ...(durable ? {} : NOT_DURABLE),
  }
  const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  // A file that stays as initdb has made it: one that is replaced or deleted locks nobody out.
  const lock = ['/bin/sh', '-c', LOCKED, 'sh', join(cluster, 'PG_VERSION')]
  return [...lock, programs.postgres, '-D', cluster, ...options]
}

async function becomesReady(server: Program, url: string): Promise<boolean> {
  const deadline = Date.now() + START_LIMIT_MS
  while (server.isRunning() && Date.now() < deadline) {
    try {
      await ensureDatabase(url)
      return server.isRunning()
    } catch (error) {
      // Refused credentials stay refused; anything else may come from a server not yet ready.
      if (String(codeOf(error)).startsWith('28')) return false
    }
    await delay(30)
  }
  return false
}

async function ensureDatabase(url: string): Promise<void> {
  const client = new Client({ connectionString: `${url}/postgres`, connectionTimeoutMillis: 5000 })
  // The calls below reject as well; without a listener the event would end the process.
  client.on('error', () => undefined)
  try {
    await client.connect()
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [NAME])
    if (rowCount === 0) await client.query(`CREATE DATABASE ${NAME}`)
  } finally {
    await client.end()
  }
}

/**
 * PostgreSQL respects a lock file as long as any process bears the number in it, which after a crash
 * may be a stranger. Who answers on its port is alive, and has time to shut down; a lock file behind
 * which nobody answers is removed: by `LOCKED`, nobody serves the cluster in another container.
 */
async function outwaitLock(home: Home): Promise<void> {
  const file = join(home.cluster, 'postmaster.pid')
  const deadline = Date.now() + PREDECESSOR_LIMIT_MS
  let known = ''
  let silentSince = Date.now()
  for (;;) {
    const lock = await orNull(fs.readFile(file, 'utf8'))
    if (lock === null) return
    const isAlive = await answers(Number(lock.split('\n')[3]))
    if (isAlive && Date.now() > deadline) throw inUse(home)
    if (isAlive || lock !== known) silentSince = Date.now()
    if (Date.now() - silentSince > SILENCE_MS) return fs.rm(file, { force: true })
    known = lock
    await delay(50)
  }
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await promisify(server.close.bind(server))()
  return port
}

async function answers(port: number): Promise<boolean> {
  if (!(port > 0 && port < 65_536)) return false
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
