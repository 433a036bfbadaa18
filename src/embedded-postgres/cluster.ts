import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import * as fs from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { type ProgramUser, spawnProgram } from '../child-program.js'
import type { LastLogoutError } from '../errors.js'
import * as binaries from './binaries.js'
import { codeOf, notStartedError, nullIfMissing, unusableError } from './errors.js'
import { createPassword, passwordFile } from './password.js'

/** The name of the PostgreSQL superuser, and also of the database. */
export const DATABASE_NAME = 'last_logout'
/** The prefix of draft directories. A cluster is created in a draft directory and then moved. */
const DRAFT_PREFIX = '.last-logout-initdb-'
/** Names of files that a data directory can contain in addition to drafts. */
const KNOWN_NAMES = new Set(['postgres', 'password', 'postgres.log', 'lost+found'])
/** Maximum age of a draft, in milliseconds. An older draft is from a start that was killed. */
const MAX_DRAFT_AGE_MS = 600_000
/** Maximum size of the log file. A larger log file is truncated at the next start. */
const MAX_LOG_BYTES = 1_000_000

/**
 * The directory of `DATA_DIR`. It contains the cluster, which is PostgreSQL's own data directory, under the name
 * `postgres`.
 */
export type DataDirectory = Awaited<ReturnType<typeof openDataDirectory>>

/**
 * Opens the data directory, and creates it if it is missing. Finds the PostgreSQL programs, and chooses the system user
 * that runs them.
 *
 * @throws `DATA_DIR_UNUSABLE` if the user cannot reach the directory, or if the programs cannot run.
 * @throws `CONFIGURATION` if there is no embedded PostgreSQL for this platform.
 */
export async function openDataDirectory(path: string) {
  await makeDirectory(resolve(path))
  const dataDir = await fs.realpath(path)
  await removeDrafts(dataDir)
  const cluster = join(dataDir, 'postgres')
  const clusterStats = await nullIfMissing(fs.stat(cluster))
  const user = await binaries.chooseServerUser(clusterStats)
  if (user) await assertReachable(dataDir, user)
  // PostgreSQL requires that the user that runs it owns the cluster. Root owns it, for example, after a copy by root.
  if (user && clusterStats?.uid === 0) {
    await promisify(execFile)('chown', ['-Rh', `${user.uid}:${user.gid}`, cluster])
  }
  const programs = await binaries.findPostgresBinaries(user)
  return { path: dataDir, cluster, user, programs, logFile: join(dataDir, 'postgres.log') }
}

/**
 * Creates a directory and its parents. Does not use the `recursive` option of `mkdir`. With this option, `mkdir`
 * never returns in /proc, where the creation of a directory fails with ENOENT although the parent exists.
 */
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

/** Removes the drafts of starts that were killed. Keeps recent drafts, which can belong to a start in progress. */
async function removeDrafts(dataDir: string): Promise<void> {
  for (const name of await fs.readdir(dataDir)) {
    const draft = name.startsWith(DRAFT_PREFIX)
      ? await nullIfMissing(fs.stat(join(dataDir, name)))
      : null
    if (draft && Date.now() - draft.mtimeMs > MAX_DRAFT_AGE_MS) {
      await fs.rm(join(dataDir, name), { recursive: true, force: true })
    }
  }
}

async function assertReachable(dataDir: string, user: ProgramUser): Promise<void> {
  if (await binaries.canEnter(dataDir, user)) return
  // An empty directory, such as one that mkdtemp created, has no content to protect, so it is opened to other users.
  if ((await fs.readdir(dataDir)).length === 0) await fs.chmod(dataDir, 0o711)
  if (await binaries.canEnter(dataDir, user)) return
  throw unusableError(
    dataDir,
    `cannot be reached by user ${user.uid}. PostgreSQL runs as this user, because it refuses to run as root. Make the directory and all directories above it accessible (chmod o+x), set another directory, or start this program as a user other than root.`,
  )
}

/**
 * Creates the cluster if it does not exist.
 *
 * @param durable Whether to flush the new files to disk.
 * @throws `DATA_DIR_UNUSABLE` if the directory contains other files, an incomplete cluster, or a cluster of another major
 *   version.
 */
export async function ensureCluster(directory: DataDirectory, durable: boolean): Promise<void> {
  const major = await readMajor(directory.cluster)
  if (major === null) {
    await assertNoForeignFiles(directory.path)
    return createCluster(directory, durable)
  }
  if (major === directory.programs.major) return
  if (major === '') throw incompleteError(directory)
  throw unusableError(
    directory.path,
    `holds data of PostgreSQL ${major}, but this program includes PostgreSQL ${directory.programs.major}. Set an empty directory, or use the last-logout release that created this data.`,
  )
}

/**
 * Throws if the directory contains files that are not from last-logout, because such a `DATA_DIR` is probably a
 * mistake.
 */
async function assertNoForeignFiles(dataDir: string): Promise<void> {
  const isKnown = (name: string) => KNOWN_NAMES.has(name) || name.startsWith(DRAFT_PREFIX)
  const foreign = (await fs.readdir(dataDir)).find((name) => !isKnown(name))
  if (foreign === undefined) return
  throw unusableError(dataDir, `contains other files (${foreign}). Set an empty directory.`)
}

async function readMajor(cluster: string): Promise<string | null> {
  const version = await nullIfMissing(fs.readFile(join(cluster, 'PG_VERSION'), 'utf8'))
  return version?.trim() ?? null
}

/** Creates the error for a cluster without its most basic file, for example after an incomplete restore. */
function incompleteError({ path, cluster }: DataDirectory): LastLogoutError {
  const problem = `has an incomplete database: ${join(cluster, 'PG_VERSION')} is missing or empty.`
  const remedy = `Restore ${cluster} completely from a backup, or set an empty directory.`
  return unusableError(path, `${problem} ${remedy}`)
}

/**
 * Creates the cluster in a draft directory, then moves it to its final path. An existing cluster is therefore always
 * complete.
 */
async function createCluster(directory: DataDirectory, durable: boolean): Promise<void> {
  const draft = await fs.mkdtemp(join(directory.path, DRAFT_PREFIX))
  try {
    const cluster = join(draft, 'postgres')
    await fs.chmod(draft, 0o711)
    await fs.mkdir(cluster, { mode: 0o700 })
    if (directory.user) await fs.chown(cluster, directory.user.uid, directory.user.gid)
    await createPassword(directory.path, draft, directory.user)
    await initialize(directory, cluster, durable)
    await fs.rename(cluster, directory.cluster)
  } catch (error) {
    // If two processes create the cluster at the same time, the second `rename` fails. The second process then uses the
    // cluster of the first.
    if ((await readMajor(directory.cluster)) !== null) return
    throw codeOf(error) === 'ENOTEMPTY' ? incompleteError(directory) : error
  } finally {
    await fs.rm(draft, { recursive: true, force: true })
  }
}

async function initialize(
  directory: DataDirectory,
  cluster: string,
  durable: boolean,
): Promise<void> {
  const initdb = await startLoggedProgram(directory, [
    directory.programs.initdb,
    ...[
      `--pgdata=${cluster}`,
      `--username=${DATABASE_NAME}`,
      `--pwfile=${passwordFile(directory.path)}`,
    ],
    ...['--auth=scram-sha-256', '--encoding=UTF8', '--no-locale', '--no-instructions'],
    ...(durable ? [] : ['--no-sync']),
  ])
  if ((await initdb.exited) !== 0) throw notStartedError(directory, await initdb.readOutput())
}

/** Starts a program of PostgreSQL with its output in the log file. `readOutput` returns the output of this run. */
export async function startLoggedProgram(
  { logFile: path, user }: DataDirectory,
  command: string[],
) {
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_RDWR } = fs.constants
  const log = await fs.open(path, O_APPEND | O_CREAT | O_NOFOLLOW | O_RDWR, 0o600)
  try {
    if ((await log.stat()).size > MAX_LOG_BYTES) await log.truncate()
    const { size: beginOffset } = await log.stat()
    const program = await spawnProgram(command, log.fd, user)
    const readOutput = async () => (await fs.readFile(path)).subarray(beginOffset).toString()
    return { ...program, readOutput }
  } finally {
    await log.close()
  }
}
