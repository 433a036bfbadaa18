import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

/** The project with the runtimes and the releases of libraries that only the tests of consumers need. */
export const INSTALLED_DIR = resolve('test/consumers/installed')

/** Loads a package of that project. */
export const requireInstalled = createRequire(join(INSTALLED_DIR, 'package.json'))

/** Installs the packages of the lock file, without install scripts, unless they are installed already. */
export async function installPackages(): Promise<void> {
  const lock = await readFile(join(INSTALLED_DIR, 'package-lock.json'))
  const digest = createHash('sha256').update(lock).digest('hex')
  const stamp = join(INSTALLED_DIR, 'node_modules', '.installed')
  if ((await readFile(stamp, 'utf8').catch(() => null)) === digest) return
  await promisify(execFile)('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: INSTALLED_DIR,
  })
  await writeFile(stamp, digest)
}
