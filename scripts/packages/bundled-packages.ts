import { execFile } from 'node:child_process'
import { cp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Manifest, readManifest } from './manifest.js'

const LICENSE_FILE = /^(licen[cs]e|copying|notice)/i

/** A package that is bundled into another package. */
interface BundledPackage {
  name: string
  version: string
  license: string
  directory: string
}

/** The fields of a software bill of materials (CycloneDX) that this file uses. */
interface Sbom {
  metadata: { timestamp?: string; component: object }
  serialNumber?: string
  components: { 'bom-ref': string; scope?: string }[]
  dependencies: { ref: string; dependsOn: string[] }[]
}

/**
 * Writes the manifest and the license of a package. Also writes the licenses and the bill of materials of the packages
 * that are bundled into it.
 *
 * @param contained The directories of the bundled packages.
 * @param sbom The result of {@link readSbom}.
 */
export async function describePackage(
  directory: string,
  manifest: Manifest,
  contained: string[],
  sbom: string,
): Promise<void> {
  const write = (name: string, text: string) => writeFile(join(directory, name), `${text}\n`)
  await write('package.json', JSON.stringify(manifest, null, 2))
  await write('sbom.cdx.json', createSbom(sbom, manifest, contained))
  if (contained.length > 0)
    await write('THIRD-PARTY-LICENSES.txt', await collectLicenses(contained))
  await cp('LICENSE', join(directory, 'LICENSE'))
}

async function collectLicenses(directories: string[]): Promise<string> {
  // One version of a package can be in several directories.
  const packages = new Map(directories.map(readPackage).map((each) => [refOf(each), each]))
  const texts = await Promise.all([...packages.values()].map(readLicense))
  return `This package contains the following software.\n\n${texts.join('\n')}`
}

/**
 * Creates the software bill of materials of a package (CycloneDX). It lists the bundled packages, but not the
 * dependencies, because npm lists the dependencies of an installation. The text depends only on the commit.
 */
function createSbom(all: string, manifest: Manifest, directories: string[]): string {
  const { serialNumber, ...sbom } = JSON.parse(all) as Sbom
  const { timestamp, ...metadata } = sbom.metadata
  const packageRef = `${manifest.name}@${manifest.version}`
  const contained = new Set(directories.map(readPackage).map(refOf))
  const component = {
    'bom-ref': packageRef,
    type: 'library',
    name: manifest.name,
    version: manifest.version,
    purl: `pkg:npm/${packageRef}`,
    licenses: [{ license: { id: manifest.license } }],
  }
  const dependencies = sbom.dependencies
    .filter(({ ref }) => contained.has(ref))
    .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((to) => contained.has(to)) }))
  const components = sbom.components
    .filter((part) => contained.has(part['bom-ref']))
    .map((part) => ({ ...part, scope: 'required' }))
  const missing = [...contained].filter(
    (ref) => !components.some((part) => part['bom-ref'] === ref),
  )
  if (missing.length > 0) throw new Error(`npm's bill of materials lacks ${missing.join(', ')}`)
  return JSON.stringify(
    {
      ...sbom,
      metadata: { ...metadata, component },
      components,
      dependencies: [{ ref: packageRef, dependsOn: [...contained] }, ...dependencies],
    },
    null,
    2,
  )
}

/** Reads the software bill of materials of all packages in the lock file, in CycloneDX. */
export async function readSbom(): Promise<string> {
  const args = ['sbom', '--package-lock-only', '--offline', '--sbom-format', 'cyclonedx']
  const { stdout } = await promisify(execFile)('npm', args, { maxBuffer: 64 * 1024 ** 2 })
  return stdout
}

function readPackage(directory: string): BundledPackage {
  const { name, version, license } = readManifest(join(directory, 'package.json'))
  return { name: String(name), version, license: String(license), directory }
}

function refOf({ name, version }: BundledPackage): string {
  return `${name}@${version}`
}

async function readLicense({ directory, license, ...about }: BundledPackage): Promise<string> {
  const names = (await readdir(directory)).filter((name) => LICENSE_FILE.test(name)).sort()
  const texts = await Promise.all(names.map((name) => readFile(join(directory, name), 'utf8')))
  const title = `${about.name} ${about.version} (${license})`
  return [title, '='.repeat(title.length), ...texts, ''].join('\n')
}
