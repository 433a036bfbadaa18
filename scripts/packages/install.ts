import { execFile } from 'node:child_process'
import { mkdtemp, realpath, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { type PackageKind, tarballName } from './manifest.js'
import { TARBALLS_DIR } from './pack.js'

/** Returns the path of the tarball of a package. */
export function tarballPath(kind: PackageKind): string {
  return resolve(TARBALLS_DIR, tarballName(kind))
}

/**
 * Installs packages from their tarballs into an empty directory, as a user does, but without install scripts.
 *
 * @param options More options of `npm install`.
 * @returns The path of the directory.
 */
export async function installTarballs(
  kinds: PackageKind[],
  options: string[] = [],
): Promise<string> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'last-logout-packages-')))
  await writeFile(join(directory, 'package.json'), '{ "private": true, "type": "module" }\n')
  await npmInstall(directory, [...kinds.map(tarballPath), ...options])
  return directory
}

/** Runs `npm install` without install scripts. Prefers the packages in npm's cache. */
async function npmInstall(directory: string, args: string[]): Promise<void> {
  const commonArgs = ['--no-audit', '--no-fund', '--no-update-notifier', '--prefer-offline']
  await promisify(execFile)('npm', ['install', '--ignore-scripts', ...commonArgs, ...args], {
    cwd: directory,
  })
}
