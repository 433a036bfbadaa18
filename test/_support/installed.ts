import { execFile } from 'node:child_process'
import { cp, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

/** The manifest and the lock file of the runtimes and of the releases of libraries that only these tests need. */
const MANIFEST_DIR = 'test/consumers/installed'

/** Where they are installed. */
export const INSTALLED_DIR = resolve('node_modules/.cache/last-logout-consumers')

/** Loads one of these packages. */
export const requireInstalled = createRequire(join(INSTALLED_DIR, 'package.json'))

/** Installs the packages of the lock file, without install scripts, unless they are installed already. */
export async function installPackages(): Promise<void> {
  const lock = await readFile(join(MANIFEST_DIR, 'package-lock.json'), 'utf8')
  const installed = join(INSTALLED_DIR, 'installed-lock.json')
  if ((await readFile(installed, 'utf8').catch(() => null)) === lock) return
  await cp(MANIFEST_DIR, INSTALLED_DIR, { recursive: true })
  await promisify(execFile)('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: INSTALLED_DIR,
  })
  await writeFile(installed, lock)
}
