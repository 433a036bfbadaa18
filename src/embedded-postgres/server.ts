import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { LastLogoutError } from '../errors.js'
import { becomesReady } from './becomes-ready.js'
import {
  DATABASE_NAME,
  type DataDirectory,
  ensureCluster,
  openDataDirectory,
  startLoggedProgram,
} from './cluster.js'
import { codeOf, inUseError, notStartedError, nullIfMissing, systemError } from './errors.js'
import { acceptsConnections, findFreePort } from './loopback-port.js'
import { readPassword } from './password.js'

/** Default of `startTimeoutMs`. */
const START_TIMEOUT_MS = 60_000
const MAX_START_ATTEMPTS = 3
/** Maximum time that a previous server of the same data directory may take to shut down, in milliseconds. */
const SHUTDOWN_GRACE_MS = 5_000
/** Time without an accepted connection after which a lock file is stale, in milliseconds. */
const STALE_LOCK_MS = 3_000
/** The exit status of `WITH_LOCK` if another server holds the lock. */
const LOCK_HELD_STATUS = 75
/** PostgreSQL's output if its lock file names a process that exists (SQLSTATE F0001: lock_file_exists). */
const LOCK_FILE_EXISTS = / F0001 FATAL:/
const NOT_DURABLE = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }

/**
 * A shell script that runs a program while it holds a kernel lock (flock).
 *
 * PostgreSQL's own lock file contains a process id and a port. In another container, both are meaningless, and
 * PostgreSQL would treat a running server as crashed. A kernel lock works across containers. All processes of the
 * server inherit the lock. The kernel releases the lock when the last process ends, so no lock remains after a crash.
 * macOS has no flock, but does not run containers natively. There the program runs without the lock.
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
  /** Resolves when the server has exited, either because of `close` or unexpectedly. */
  readonly exited: Promise<unknown>
  /** Closes all connections and stops the server. Resolves when the server has exited. */
  close(): Promise<void>
}

/** Options of the embedded PostgreSQL. */
export interface EmbeddedPostgresOptions {
  /** The data directory. It is created if it is missing. Only one server can use it at a time. */
  dataDir: string
  /** Whether data survives a crash of the machine. `false` is faster. Default: true. */
  durable?: boolean
  /**
   * Maximum time without any response of the server until the start fails, in milliseconds. Default:
   * {@link START_TIMEOUT_MS}.
   */
  startTimeoutMs?: number
}

/**
 * Starts PostgreSQL on a free port of the loopback interface, with its data in `dataDir`. The server stops when this
 * process ends.
 *
 * @throws `DATA_DIR_IN_USE` if another server uses the directory.
 * @throws `DATA_DIR_UNUSABLE` if PostgreSQL cannot run in the directory.
 * @throws `CONFIGURATION` if there is no embedded PostgreSQL for this platform.
 */
export async function createEmbeddedPostgres({
  dataDir,
  durable = true,
  startTimeoutMs = START_TIMEOUT_MS,
}: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  try {
    const directory = await openDataDirectory(dataDir)
    await ensureCluster(directory, durable)
    return await startServer(directory, { durable, startTimeoutMs })
  } catch (error) {
    if (error instanceof LastLogoutError || codeOf(error) === undefined) throw error
    throw systemError(dataDir, error as Error)
  }
}

async function startServer(
  directory: DataDirectory,
  { durable, startTimeoutMs }: Required<Omit<EmbeddedPostgresOptions, 'dataDir'>>,
): Promise<EmbeddedPostgres> {
  const password = await readPassword(directory.path)
  for (let attempt = 1; ; attempt += 1) {
    const port = await findFreePort()
    const url = `postgres://${DATABASE_NAME}:${password}@127.0.0.1:${port}`
    const server = await startLoggedProgram(directory, serverCommand(directory, port, durable))
    if (await becomesReady(server, url, startTimeoutMs)) {
      return { url: `${url}/${DATABASE_NAME}`, exited: server.exited, close: server.stop }
    }
    await server.stop()
    if ((await server.exited) === LOCK_HELD_STATUS) throw inUseError(directory)
    const output = await server.readOutput()
    const [isLocked, isLast] = [LOCK_FILE_EXISTS.test(output), attempt === MAX_START_ATTEMPTS]
    if (isLocked && isLast) throw inUseError(directory)
    if (isLocked) await waitForLockFile(directory)
    // If the port accepts connections, another program has taken it before the server. The next attempt uses another
    // port.
    else if (isLast || !(await acceptsConnections(port))) throw notStartedError(directory, output)
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
  // The lock is on PG_VERSION, because no program replaces or deletes this file. A lock on a deleted file would not
  // exclude other servers.
  const lock = ['/bin/sh', '-c', WITH_LOCK, 'sh', join(cluster, 'PG_VERSION')]
  return [...lock, programs.postgres, '-D', cluster, ...options]
}

/**
 * Waits until PostgreSQL's lock file is removed. Removes the file if it is stale.
 *
 * PostgreSQL respects the file while a process with the id in the file exists. After a crash, another process can have
 * this id. If a server accepts connections on the port in the file, this function waits for the shutdown of that
 * server. Otherwise the file is stale, because `WITH_LOCK` has already shown that no server in another container uses
 * the cluster.
 *
 * @throws `DATA_DIR_IN_USE` if the server does not shut down within the grace period.
 */
async function waitForLockFile(directory: DataDirectory): Promise<void> {
  const file = join(directory.cluster, 'postmaster.pid')
  const deadline = Date.now() + SHUTDOWN_GRACE_MS
  let previousLock = ''
  let unresponsiveSince = Date.now()
  for (;;) {
    const lock = await nullIfMissing(fs.readFile(file, 'utf8'))
    if (lock === null) return
    // The fourth line of the file is the port.
    const isAlive = await acceptsConnections(Number(lock.split('\n')[3]))
    if (isAlive && Date.now() > deadline) throw inUseError(directory)
    if (isAlive || lock !== previousLock) unresponsiveSince = Date.now()
    if (Date.now() - unresponsiveSince > STALE_LOCK_MS) return fs.rm(file, { force: true })
    previousLock = lock
    await delay(50)
  }
}
