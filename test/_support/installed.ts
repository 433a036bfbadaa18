import { execFile } from 'node:child_process'
import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

/** The directory of the manifest and the lock file of the packages that only the tests of consumers need. */
const MANIFEST_DIR = 'test/consumers/installed'

/** The directory in which these packages are installed. */
export const INSTALLED_DIR = resolve('node_modules/.cache/last-logout-consumers')

/** Loads one of these packages. */
export const requireInstalled = createRequire(join(INSTALLED_DIR, 'package.json'))

/** Installs the packages of the lock file without install scripts, unless they are installed already. */
export async function installPackages(): Promise<void> {
  const lock = await readFile(join(MANIFEST_DIR, 'package-lock.json'), 'utf8')
  const installedLock = join(INSTALLED_DIR, 'installed-lock.json')
  if ((await readFile(installedLock, 'utf8').catch(() => null)) === lock) return
  await cp(MANIFEST_DIR, INSTALLED_DIR, { recursive: true })
  await promisify(execFile)('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: INSTALLED_DIR,
  })
  await writeFile(installedLock, lock)
}

/** Copies the client package that `npm run build:client` has built into the `node_modules` of a directory. */
export async function addClient(dir: string = INSTALLED_DIR): Promise<void> {
  // A copy instead of a link, so that the client and the app import the same copy of a framework.
  const copy = join(dir, 'node_modules', 'last-logout-client')
  await rm(copy, { recursive: true, force: true })
  await cp('dist/client-package', copy, { recursive: true })
}
