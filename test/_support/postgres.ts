import { execFile } from 'node:child_process'
import * as fs from 'node:fs/promises'
import { open, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { vi } from 'vitest'
import { type Program, spawnProgram } from '../../src/child-program.js'
import { chooseServerUser, findPostgresBinaries } from '../../src/embedded-postgres/binaries.js'
import { migrateQueue } from '../../src/jobs/jobs.js'
import { applyMigrations } from '../../src/store/migrations.js'
import { fakeClockEnv } from './faketime.js'
import { findUnusedPort } from './port.js'
import { WAIT } from './wait.js'

const run = promisify(execFile)

/** A PostgreSQL server for one test. It keeps its port after a restart. */
export interface TestPostgres {
  url: string
  query<Row extends pg.QueryResultRow>(sql: string): Promise<Row[]>
  start(): Promise<void>
  /** Stops the server. `fast` closes all connections first. `immediate` simulates a crash. Default: `fast`. */
  stop(mode?: 'fast' | 'immediate'): Promise<void>
  /** Suspends the server. Its connections stay open, but it does not respond. */
  freeze(): Promise<void>
  /** Continues the server after `freeze`. */
  thaw(): void
  /** Starts a replica of this server. While it copies the data, this server does not run. */
  replicate(options?: ServerOptions): Promise<TestPostgres>
  /** Makes a replica the primary. */
  promote(): Promise<void>
  /** Stops the server and deletes its data. */
  remove(): Promise<void>
}

/** Options of a server. */
interface ServerOptions {
  /** Seconds that are added to the clock of the server. Needs the Debian package `faketime`. Default: 0. */
  clockAheadSeconds?: number
  /** The directory of a package that contains PostgreSQL. Default: the one of `embedded-postgres`. */
  binaries?: string
  /** Whether the database stays without tables. Default: false, which means that all migrations run. */
  isEmpty?: boolean
}

/** Starts a PostgreSQL server. `settings` contains settings of postgresql.conf. */
export async function startPostgres(
  settings: Record<string, string> = {},
  options: ServerOptions = {},
): Promise<TestPostgres> {
  const user = await chooseServerUser(null)
  const dir = await fs.mkdtemp(join(tmpdir(), 'last-logout-server-'))
  const { initdb } = await findPostgresBinaries(user, options.binaries)
  if (user) await fs.chown(dir, user.uid, user.gid)
  const initdbRun = await launch(
    [
      initdb,
      '-D',
      join(dir, 'data'),
      '-U',
      'test',
      '--auth=trust',
      '--no-sync',
      '--no-locale',
      '--encoding=UTF8',
    ],
    dir,
  )
  if ((await initdbRun.exited) !== 0) throw new Error(`initdb failed: see ${dir}/log`)
  const server = await openServer(dir, settings, options)
  await server.start()
  if (options.isEmpty) return server
  await applyMigrations(server.url)
  await migrateQueue(server.url)
  return server
}

async function openServer(
  dir: string,
  settings: Record<string, string>,
  { clockAheadSeconds = 0, binaries }: ServerOptions,
): Promise<TestPostgres> {
  const dataDir = join(dir, 'data')
  const port = await findUnusedPort()
  const url = `postgresql://test@127.0.0.1:${port}/postgres`
  const { postgres } = await findPostgresBinaries(await chooseServerUser(null), binaries)
  const clockCommand = clockAheadSeconds === 0 ? [] : toEnvCommand(fakeClockEnv(clockAheadSeconds))
  const args = Object.entries({
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    fsync: 'off',
    ...settings,
  }).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  let program: Program | undefined
  let suspendedPids: number[] = []

  const query = <Row extends pg.QueryResultRow>(sql: string) => queryOnce<Row>(url, sql)
  const readPid = async () => {
    const [firstLine] = (await readFile(join(dataDir, 'postmaster.pid'), 'utf8')).split('\n')
    return Number(firstLine)
  }
  const server: TestPostgres = {
    url,
    query,
    async start() {
      program = await launch([...clockCommand, postgres, '-D', dataDir, ...args], dir)
      await vi.waitFor(() => query('SELECT 1'), WAIT)
    },
    async stop(mode = 'fast') {
      if (!program?.isRunning()) return
      server.thaw()
      // On SIGQUIT, PostgreSQL stops as in a crash.
      if (mode === 'immediate') process.kill(await readPid(), 'SIGQUIT')
      await program.stop()
    },
    async freeze() {
      const postmaster = await readPid()
      const backends = await query<{ pid: number }>(
        'SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()',
      )
      suspendedPids = [postmaster, ...backends.map(({ pid }) => pid)]
      for (const pid of suspendedPids) process.kill(pid, 'SIGSTOP')
    },
    thaw() {
      for (const pid of suspendedPids) process.kill(pid, 'SIGCONT')
      suspendedPids = []
    },
    async replicate(options = {}) {
      const copyDir = await fs.mkdtemp(join(tmpdir(), 'last-logout-server-'))
      await server.stop()
      await run('cp', ['-a', `${dir}/.`, copyDir])
      await server.start()
      // A file with the name `standby.signal` makes the copy a replica, whatever it contains. To have the right owner, it
      // is a copy of another file.
      await run('cp', ['-p', join(dataDir, 'PG_VERSION'), join(copyDir, 'data', 'standby.signal')])
      const primary_conninfo = `host=127.0.0.1 port=${port} user=test`
      const replica = await openServer(
        copyDir,
        { ...settings, primary_conninfo },
        { ...(binaries !== undefined && { binaries }), ...options },
      )
      await replica.start()
      return replica
    },
    async promote() {
      await query('SELECT pg_promote()')
    },
    async remove() {
      await server.stop('immediate')
      await fs.rm(dir, { recursive: true, force: true })
    },
  }
  return server
}

/** Returns the beginning of a command that runs a program with these environment variables. */
function toEnvCommand(env: Record<string, string>): string[] {
  return ['/usr/bin/env', ...Object.entries(env).map(([name, value]) => `${name}=${value}`)]
}

async function launch(command: string[], dir: string): Promise<Program> {
  const log = await open(join(dir, 'log'), 'a')
  try {
    return await spawnProgram(command, log.fd, await chooseServerUser(null))
  } finally {
    await log.close()
  }
}

async function queryOnce<Row extends pg.QueryResultRow>(url: string, sql: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query<Row>(sql)).rows
  } finally {
    await client.end()
  }
}
