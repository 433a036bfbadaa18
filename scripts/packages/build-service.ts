import { execFile } from 'node:child_process'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { bundleProgram } from './bundle-program.js'
import { describePackage } from './bundled-packages.js'
import { createManifest, type Manifest, packageDirectory, ROOT_MANIFEST } from './manifest.js'

/**
 * The packages that are not bundled. Instrumentation, such as OpenTelemetry, can patch a package only if Node.js loads
 * it from `node_modules`.
 */
const EXTERNAL_PACKAGES = ['pg']

/** The documents in the package. The help, the messages and other documents refer to them. */
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

/** Fields of the manifest of the service. */
const MANIFEST_FIELDS = {
  description: ROOT_MANIFEST.description,
  keywords: ['auth0', 'jwt', 'logout', 'revocation', 'session', 'backchannel-logout', 'security'],
  type: 'module',
  bin: { 'last-logout': 'last-logout.mjs' },
  exports: { './package.json': './package.json' },
}

/** Builds the package of the service. Its only dependencies are the PostgreSQL driver and the embedded PostgreSQL. */
export async function buildService(sbom: string): Promise<void> {
  const directory = packageDirectory('service')
  await bundle(directory, EXTERNAL_PACKAGES, sbom)
  for (const path of DOCUMENTS) await cp(path, join(directory, path), { recursive: true })
}

/** Builds `dist/bundle`, which needs no other packages, for container images. Instrumentation cannot see its SQL. */
export async function buildBundle(sbom: string): Promise<void> {
  await bundle('dist/bundle', [], sbom)
}

async function bundle(directory: string, externalPackages: string[], sbom: string): Promise<void> {
  // `npm run` passes the version to the script, which writes it into the banner of the login Action.
  await promisify(execFile)('npm', ['run', '--silent', 'build:action'])
  const bundledPackages = await bundleProgram(directory, externalPackages)
  const manifest = createManifest('service', {
    ...MANIFEST_FIELDS,
    ...dependenciesOf(externalPackages),
  })
  await describePackage(directory, manifest, bundledPackages, sbom)
}

function dependenciesOf(names: string[]): Pick<Manifest, 'dependencies' | 'optionalDependencies'> {
  const { dependencies = {}, optionalDependencies = {} } = ROOT_MANIFEST
  const versions = names.map((name) => [name, dependencies[name]])
  return { dependencies: Object.fromEntries(versions), optionalDependencies }
}
