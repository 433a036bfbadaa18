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
  DATABASE_NAME,
  type DataDirectory,
  ensureCluster,
  inUse,
  notStarted,
  nullIfMissing,
  openDataDirectory,
  startLoggedProgram,
  unusable,
} from './cluster.js'

const START_TIMEOUT_MS = 60_000
const MAX_START_ATTEMPTS = 3
/** How long a server of the same data directory may take to shut down, in milliseconds. */
const SHUTDOWN_GRACE_MS = 5_000
/** A lock file is stale when no server has responded for this time, in milliseconds. */
const STALE_LOCK_MS = 3_000
/** Exit status of `WITH_LOCK` when another server holds the lock. */
const LOCK_HELD_STATUS = 75
const NOT_DURABLE = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }

/**
 * Shell script that runs a program under a lock of the kernel (flock).
 *
 * PostgreSQL's own lock file holds a process id and a port, which are meaningless in another container: PostgreSQL
 * would treat a cluster in use there as one that crashed. A kernel lock is the same in all containers. The server
 * and all its processes inherit it, and it is released with the last of them, so that a crash leaves nothing
 * behind. macOS has no flock, but also no containers of its own.
 */
const WITH_LOCK = `
exec 4<>"$1"
flock -w ${SHUTDOWN_GRACE_MS / 1000} -E ${LOCK_HELD_STATUS} 4 2>/dev/null
[ $? -ne ${LOCK_HELD_STATUS} ] || exit ${LOCK_HELD_STATUS}
shift
exec "$@"`

/** A running embedded PostgreSQL server. */
export interface EmbeddedPostgres {
  /** URL of the database `last_logout`, with the password. */
  readonly url: string
  /** Resolves when the server has exited, by `close` or by itself. */
  readonly exited: Promise<unknown>
  /** Closes all connections and stops the server. Resolves when it has exited. */
  close(): Promise<void>
}

/** Options of the embedded PostgreSQL. */
export interface EmbeddedPostgresOptions {
  /** Created if missing. One instance can use it at a time. */
  dataDir: string
  /** `false`: faster, but a crash of the machine can lose the data. Default: true. */
  durable?: boolean
}

/**
 * Starts PostgreSQL on a free port of the loopback interface, with its data in `dataDir`. The server stops with
 * this process.
 *
 * @throws `DATA_DIR_IN_USE` where another instance uses the directory.
 * @throws `DATA_DIR_UNUSABLE` where PostgreSQL cannot run in it.
 * @throws `CONFIGURATION` where there is no embedded PostgreSQL for this platform.
 */
export async function createEmbeddedPostgres({
  dataDir,
  durable = true,
}: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  try {
    const directory = await openDataDirectory(dataDir)
    await ensureCluster(directory, durable)
    return await startServer(directory, durable)
  } catch (error) {
    if (error instanceof LastLogoutError || codeOf(error) === undefined) throw error
    const problem = `cannot be used: ${(error as Error).message}. Set a directory that this user can write to.`
    throw unusable(dataDir, problem, { cause: error })
  }
}

async function startServer(directory: DataDirectory, durable: boolean): Promise<EmbeddedPostgres> {
  const password = (await fs.readFile(join(directory.path, 'password'), 'utf8')).trim()
  for (let attempt = 1; ; attempt += 1) {
    const port = await findFreePort()
    const url = `postgres://${DATABASE_NAME}:${password}@127.0.0.1:${port}`
    const server = await startLoggedProgram(directory, serverCommand(directory, port, durable))
    if (await becomesReady(server, url)) {
      return { url: `${url}/${DATABASE_NAME}`, exited: server.exited, close: server.stop }
    }
    await server.stop()
    if ((await server.exited) === LOCK_HELD_STATUS) throw inUse(directory)
    const output = await server.readOutput()
    const [isLocked, isLast] = [/ F0001 FATAL:/.test(output), attempt === MAX_START_ATTEMPTS]
    if (isLocked && isLast) throw inUse(directory)
    if (isLocked) await waitForLockFile(directory)
    // Another program can have taken the port after it was found free. The next attempt uses another port.
    else if (isLast || !(await acceptsConnections(port))) throw notStarted(directory, output)
  }
}

function serverCommand(
  { programs, cluster }: DataDirectory,
  port: number,
  durable: boolean,
): string[] {
  const settings = {
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    log_line_prefix: '%m %e ',
    log_checkpoints: 'off',
    ...(durable ? {} : NOT_DURABLE),
  }
  const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  // A file that no program replaces or deletes: the lock of a deleted file excludes no other server.
  const lock = ['/bin/sh', '-c', WITH_LOCK, 'sh', join(cluster, 'PG_VERSION')]
  return [...lock, programs.postgres, '-D', cluster, ...options]
}

async function becomesReady(server: Program, url: string): Promise<boolean> {
  const deadline = Date.now() + START_TIMEOUT_MS
  while (server.isRunning() && Date.now() < deadline) {
    try {
      await ensureDatabase(url)
      return server.isRunning()
    } catch (error) {
      // Retries do not resolve refused credentials. Any other error can come from a server that is starting.
      if (String(codeOf(error)).startsWith('28')) return false
    }
    await delay(30)
  }
  return false
}

async function ensureDatabase(url: string): Promise<void> {
  const client = new Client({ connectionString: `${url}/postgres`, connectionTimeoutMillis: 5000 })
  // The calls below also reject. Without a listener the event would end the process.
  client.on('error', () => undefined)
  try {
    await client.connect()
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [
      DATABASE_NAME,
    ])
    if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE_NAME}`)
  } finally {
    await client.end()
  }
}

/**
 * Waits for PostgreSQL's lock file to disappear, and removes a stale one.
 *
 * PostgreSQL honors the file while a process with its process id exists, which after a crash can be an unrelated
 * one. A server that accepts connections on its port is alive and gets time to shut down. Otherwise the file is
 * stale: `WITH_LOCK` excludes a server in another container.
 *
 * @throws `DATA_DIR_IN_USE` where the server does not shut down within the grace period.
 */
async function waitForLockFile(directory: DataDirectory): Promise<void> {
  const file = join(directory.cluster, 'postmaster.pid')
  const deadline = Date.now() + SHUTDOWN_GRACE_MS
  let previous = ''
  let unresponsiveSince = Date.now()
  for (;;) {
    const lock = await nullIfMissing(fs.readFile(file, 'utf8'))
    if (lock === null) return
    const isAlive = await acceptsConnections(Number(lock.split('\n')[3]))
    if (isAlive && Date.now() > deadline) throw inUse(directory)
    if (isAlive || lock !== previous) unresponsiveSince = Date.now()
    if (Date.now() - unresponsiveSince > STALE_LOCK_MS) return fs.rm(file, { force: true })
    previous = lock
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

async function acceptsConnections(port: number): Promise<boolean> {
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
