import { execFile } from 'node:child_process'
import { chmod, cp, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import { BUNDLE_OPTIONS, listPackages } from './bundle-program.js'
import { describePackage } from './bundled-packages.js'
import { createManifest, packageDirectory, readManifest } from './manifest.js'

const SOURCE = 'src/simulator'

/** The modules that users of the package import. */
const ENTRIES = ['index', 'vitest', 'node-test']

/** Builds the package of the simulated tenant. The package has no dependencies, because it contains Fastify. */
export async function buildSimulator(sbom: string): Promise<void> {
  const directory = packageDirectory('simulator')
  await rm(directory, { recursive: true, force: true })
  const { metafile } = await build({
    entryPoints: [...ENTRIES, 'main'].map((name) => join(SOURCE, `${name}.ts`)),
    outdir: directory,
    ...BUNDLE_OPTIONS,
    external: ['vitest'],
  })
  await chmod(join(directory, 'main.js'), 0o755)
  await writeTypes(directory)
  const bundledPackages = listPackages(Object.keys(metafile.inputs))
  const manifest = createManifest('simulator', readManifest(join(SOURCE, 'package.json')))
  await describePackage(directory, manifest, bundledPackages, sbom)
  await cp(join(SOURCE, 'README.md'), join(directory, 'README.md'))
}

/**
 * Writes the type declarations that the entries import, directly or indirectly. The declarations of other modules would
 * import packages that users have not installed.
 */
async function writeTypes(directory: string): Promise<void> {
  await promisify(execFile)('node_modules/.bin/tsc', ['-p', 'tsconfig.simulator.json'])
  const usedFiles = new Set(ENTRIES.map((name) => `${name}.d.ts`))
  // The loop also visits the files that it adds.
  for (const file of usedFiles) {
    const text = await readFile(join(directory, file), 'utf8')
    for (const [, name] of text.matchAll(/from '\.\/([\w-]+)\.js'/g)) usedFiles.add(`${name}.d.ts`)
    for (const [, name] of text.matchAll(/import\("\.\/([\w-]+)\.js"\)/g))
      usedFiles.add(`${name}.d.ts`)
  }
  const writtenFiles = (await readdir(directory)).filter((name) => name.endsWith('.d.ts'))
  for (const name of writtenFiles) if (!usedFiles.has(name)) await rm(join(directory, name))
}
