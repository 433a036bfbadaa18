import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import * as fs from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { type ErrorOptions, LastLogoutError } from '../errors.js'
import * as binaries from './binaries.js'

/** The name of the superuser and of the database. */
export const NAME = 'last_logout'
const DRAFT = '.last-logout-initdb-'
const OURS = new Set(['postgres', 'password', 'postgres.log', 'lost+found'])
const DRAFT_MAX_AGE_MS = 600_000
const LOG_MAX_BYTES = 1_000_000

/** A data directory with a cluster in it, or about to be. */
export type Home = Awaited<ReturnType<typeof openHome>>

/** Makes the data directory where it is missing, and finds as whom and by what programs it is served. */
export async function openHome(path: string) {
  await makeDirectory(resolve(path))
  const dataDir = await fs.realpath(path)
  await removeDrafts(dataDir)
  const cluster = join(dataDir, 'postgres')
  const found = await orNull(fs.stat(cluster))
  const user = await binaries.chooseServerUser(found)
  if (user) await assertReachable(dataDir, user)
  if (user && found?.uid === 0) {
    await promisify(execFile)('chown', ['-Rh', `${user.uid}:${user.gid}`, cluster])
  }
  const programs = await binaries.findPostgresBinaries(user)
  return { dataDir, cluster, user, programs, log: join(dataDir, 'postgres.log') }
}

/** Not by Node's own recursion: that never ends below a directory that refuses with ENOENT, as /proc does. */
async function makeDirectory(path: string): Promise<void> {
  try {
    await fs.mkdir(path)
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return
    if (codeOf(error) !== 'ENOENT' || existsSync(dirname(path))) throw error
    await makeDirectory(dirname(path))
    await makeDirectory(path)
  }
}

/** What starts that were killed have left. A young one may belong to a start under way. */
async function removeDrafts(dataDir: string): Promise<void> {
  for (const name of await fs.readdir(dataDir)) {
    const draft = name.startsWith(DRAFT) ? await orNull(fs.stat(join(dataDir, name))) : null
    if (draft && Date.now() - draft.mtimeMs > DRAFT_MAX_AGE_MS) {
      await fs.rm(join(dataDir, name), { recursive: true, force: true })
    }
  }
}

async function assertReachable(dataDir: string, user: binaries.ServerUser): Promise<void> {
  if (await binaries.canEnter(dataDir, user)) return
  // Empty, as mkdtemp makes it, it has nothing to hide from the server's user.
  if ((await fs.readdir(dataDir)).length === 0) await fs.chmod(dataDir, 0o711)
  if (await binaries.canEnter(dataDir, user)) return
  throw unusable(
    dataDir,
    `cannot be reached by the user (id ${user.uid}) as whom PostgreSQL runs, because it refuses to run as root. Allow passing through it and all directories above it (chmod o+x), set another one, or start this program as another user than root.`,
  )
}

/** Makes the cluster where there is none yet. */
export async function ensureCluster(home: Home, durable: boolean): Promise<void> {
  const major = await readMajor(home.cluster)
  if (major === null) {
    await assertOurs(home.dataDir)
    return createCluster(home, durable)
  }
  if (major === home.programs.major) return
  throw unusable(
    home.dataDir,
    `holds data of PostgreSQL ${major}, and this program brings PostgreSQL ${home.programs.major}. Set an empty directory, or go back to the release that wrote it.`,
  )
}

/** A directory with something else in it was probably not meant. */
async function assertOurs(dataDir: string): Promise<void> {
  const isOurs = (name: string) => OURS.has(name) || name.startsWith(DRAFT)
  const foreign = (await fs.readdir(dataDir)).find((name) => !isOurs(name))
  if (foreign === undefined) return
  throw unusable(dataDir, `holds something else already (${foreign}). Set an empty directory.`)
}

async function readMajor(cluster: string): Promise<string | null> {
  const version = await orNull(fs.readFile(join(cluster, 'PG_VERSION'), 'utf8'))
  return version?.trim() ?? null
}

/** Made beside its place and renamed, so that what stands there is whole. */
async function createCluster(home: Home, durable: boolean): Promise<void> {
  const draft = await fs.mkdtemp(join(home.dataDir, DRAFT))
  try {
    const cluster = join(draft, 'postgres')
    await fs.chmod(draft, 0o711)
    await fs.mkdir(cluster, { mode: 0o700 })
    if (home.user) await fs.chown(cluster, home.user.uid, home.user.gid)
    await createPassword(home, draft)
    await initialize(home, cluster, durable)
    await fs.rename(cluster, home.cluster)
  } catch (error) {
    // Of two starts on an empty directory, the slower one finds the place taken.
    if ((await readMajor(home.cluster)) === null) throw error
  } finally {
    await fs.rm(draft, { recursive: true, force: true })
  }
}

/** By link(), which never replaces: two starts at once make clusters of the same password. */
async function createPassword({ dataDir, user }: Home, draft: string): Promise<void> {
  const file = join(draft, 'password')
  await fs.writeFile(file, randomBytes(24).toString('base64url'), { mode: 0o600, flush: true })
  if (user) await fs.chown(file, user.uid, user.gid)
  await fs.link(file, join(dataDir, 'password')).catch((error) => {
    if (codeOf(error) !== 'EEXIST') throw error
  })
}

async function initialize(home: Home, cluster: string, durable: boolean): Promise<void> {
  const initdb = await startLoggedProgram(home, [
    home.programs.initdb,
    ...[`--pgdata=${cluster}`, `--username=${NAME}`, `--pwfile=${join(home.dataDir, 'password')}`],
    ...['--auth=scram-sha-256', '--encoding=UTF8', '--no-locale', '--no-instructions'],
    ...(durable ? [] : ['--no-sync']),
  ])
  if ((await initdb.exited) !== 0) throw notStarted(home, await initdb.readOutput())
}

/** Starts a program of PostgreSQL's, with its output in the log. */
export async function startLoggedProgram({ log: path, user }: Home, command: string[]) {
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_RDWR } = fs.constants
  const log = await fs.open(path, O_APPEND | O_CREAT | O_NOFOLLOW | O_RDWR, 0o600)
  try {
    if ((await log.stat()).size > LOG_MAX_BYTES) await log.truncate()
    const { size: begin } = await log.stat()
    const program = await binaries.startProgram(command, log.fd, user)
    const readOutput = async () => (await fs.readFile(path)).subarray(begin).toString()
    return { ...program, readOutput }
  } finally {
    await log.close()
  }
}

/** `null` for a file that does not exist. */
export async function orNull<T>(found: Promise<T>): Promise<T | null> {
  try {
    return await found
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    throw error
  }
}

/** The `code` of a system's or PostgreSQL's error. */
export function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

/** PostgreSQL did not start, and has said why. */
export function notStarted(home: Home, output: string): LastLogoutError {
  const end = output.trimEnd().split('\n').slice(-8).join('\n')
  return unusable(home.dataDir, `does not let PostgreSQL start. The end of ${home.log}:\n${end}`)
}

/** The data directory cannot be used as it is. */
export function unusable(
  dataDir: string,
  problem: string,
  options?: ErrorOptions,
): LastLogoutError {
  return new LastLogoutError(
    'DATA_DIR_UNUSABLE',
    `The data directory ${dataDir} ${problem}`,
    options,
  )
}

/** Somebody else uses the data directory. */
export function inUse({ dataDir }: Home): LastLogoutError {
  return new LastLogoutError(
    'DATA_DIR_IN_USE',
    `The data directory ${dataDir} is in use by another instance. Stop that one, set another DATA_DIR, or let both share a database through DATABASE_URL.`,
  )
}
