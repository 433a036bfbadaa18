import { execFile } from 'node:child_process'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { bundleProgram } from './bundle-program.js'
import { describePackage } from './bundled-packages.js'
import { createManifest, type Manifest, packageDirectory, ROOT_MANIFEST } from './manifest.js'

/**
 * The packages that are not bundled. Instrumentations such as OpenTelemetry can patch only packages that are loaded.
 */
const DEPENDENCIES = ['pg']

/** The documents in the package, to which the help, the messages and other documents refer. */
const DOCUMENTS = [
  '.env.example',
  'ARCHITECTURE.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'README.md',
  'SECURITY.md',
  'conformance',
  'deploy/gateways',
  'docs',
  'examples',
  'src/simulator/README.md',
]

const FIELDS = {
  description: ROOT_MANIFEST.description,
  keywords: ['auth0', 'jwt', 'logout', 'revocation', 'session', 'backchannel-logout', 'security'],
  type: 'module',
  bin: { 'last-logout': 'last-logout.mjs' },
  exports: { './package.json': './package.json' },
}

/** Builds the package of the service. Its only dependencies are the PostgreSQL driver and the embedded PostgreSQL. */
export async function buildService(sbom: string): Promise<void> {
  const directory = packageDirectory('service')
  await bundle(directory, DEPENDENCIES, sbom)
  for (const path of DOCUMENTS) await cp(path, join(directory, path), { recursive: true })
}

/** Builds `dist/bundle`, which runs without any package beside it, as in an image. SQL cannot be instrumented in it. */
export async function buildBundle(sbom: string): Promise<void> {
  await bundle('dist/bundle', [], sbom)
}

async function bundle(directory: string, external: string[], sbom: string): Promise<void> {
  // The banner of the Action contains the version, which npm passes to its scripts.
  await promisify(execFile)('npm', ['run', '--silent', 'build:action'])
  const contained = await bundleProgram(directory, external)
  const manifest = createManifest('service', { ...FIELDS, ...dependenciesOf(external) })
  await describePackage(directory, manifest, contained, sbom)
}

function dependenciesOf(names: string[]): Pick<Manifest, 'dependencies' | 'optionalDependencies'> {
  const { dependencies = {}, optionalDependencies = {} } = ROOT_MANIFEST
  const versions = names.map((name) => [name, dependencies[name]])
  return { dependencies: Object.fromEntries(versions), optionalDependencies }
}
