import { execFile } from 'node:child_process'
import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

/** The directory with the `package.json` and the lock file of the packages that only test/consumers needs. */
const MANIFEST_DIR = 'test/consumers/installed'

/** The directory in which npm installs these packages. */
export const INSTALLED_DIR = resolve('node_modules/.cache/last-logout-consumers')

/** Loads one of these packages, as `require` does. */
export const requireInstalled = createRequire(join(INSTALLED_DIR, 'package.json'))

/** Installs the packages in the lock file, without install scripts. Does nothing if the lock file is unchanged. */
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

/** Copies the client package into the `node_modules` of a directory. `npm run build:client` has built the package. */
export async function addClient(dir: string = INSTALLED_DIR): Promise<void> {
  // The directory gets a copy, not a link: the client and the app must load their frameworks from the same directory.
  const copy = join(dir, 'node_modules', 'last-logout-client')
  await rm(copy, { recursive: true, force: true })
  await cp('dist/client-package', copy, { recursive: true })
}
