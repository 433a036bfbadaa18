import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { packageDirectory, tarballName } from '../../scripts/packages/manifest.js'

const run = promisify(execFile)

/** A temporary project whose only dependency is the client package. */
export interface ClientProject {
  dir: string
  /** The path of the tarball of the client package. */
  tarball: string
  /** Links a package from this repository's `node_modules` into the project. */
  add(name: string): Promise<void>
  remove(): Promise<void>
}

/**
 * Packs the client package, and installs the tarball into an empty project. `prepare-consumers.ts` has built the
 * package.
 */
export async function installClient(): Promise<ClientProject> {
  const dir = await realpath(await mkdtemp(join(tmpdir(), 'last-logout-client-')))
  const builtDir = resolve(packageDirectory('client'))
  const tarball = join(dir, tarballName('client'))
  await run('npm', ['pack', '--silent', '--pack-destination', dir, builtDir])
  await writeFile(join(dir, 'package.json'), '{ "type": "module", "private": true }')
  await run('npm', ['install', '--offline', '--no-audit', '--no-fund', tarball], { cwd: dir })
  return {
    dir,
    tarball,
    async add(name) {
      const link = join(dir, 'node_modules', name)
      await mkdir(dirname(link), { recursive: true })
      await symlink(resolve('node_modules', name), link)
    },
    remove: () => rm(dir, { recursive: true }),
  }
}
