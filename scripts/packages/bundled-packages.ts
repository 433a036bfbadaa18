import { execFile } from 'node:child_process'
import { cp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Manifest, readManifest } from './manifest.js'

/** Matches the names of files that contain a license or a notice. */
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
 * @param directory The directory of the package.
 * @param bundledDirectories The directories of the bundled packages.
 * @param sbom The result of {@link readSbom}.
 */
export async function describePackage(
  directory: string,
  manifest: Manifest,
  bundledDirectories: string[],
  sbom: string,
): Promise<void> {
  const write = (name: string, text: string) => writeFile(join(directory, name), `${text}\n`)
  await write('package.json', JSON.stringify(manifest, null, 2))
  await write('sbom.cdx.json', createSbom(sbom, manifest, bundledDirectories))
  if (bundledDirectories.length > 0)
    await write('THIRD-PARTY-LICENSES.txt', await collectLicenses(bundledDirectories))
  await cp('LICENSE', join(directory, 'LICENSE'))
}

async function collectLicenses(directories: string[]): Promise<string> {
  // One version of a package can be in several directories.
  const packages = new Map(directories.map(readPackage).map((each) => [refOf(each), each]))
  const texts = await Promise.all([...packages.values()].map(readLicense))
  return `This package contains the following software.\n\n${texts.join('\n')}`
}

/**
 * Creates the software bill of materials of a package (CycloneDX). It lists the bundled packages. It omits the other
 * dependencies, because npm lists them for each installation. It omits the serial number and the time stamp too, so
 * that builds of the same commit have the same text.
 */
function createSbom(fullSbom: string, manifest: Manifest, directories: string[]): string {
  const { serialNumber, ...sbom } = JSON.parse(fullSbom) as Sbom
  const { timestamp, ...metadata } = sbom.metadata
  const packageRef = `${manifest.name}@${manifest.version}`
  const bundledRefs = new Set(directories.map(readPackage).map(refOf))
  const component = {
    'bom-ref': packageRef,
    type: 'library',
    name: manifest.name,
    version: manifest.version,
    purl: `pkg:npm/${packageRef}`,
    licenses: [{ license: { id: manifest.license } }],
  }
  const dependencies = sbom.dependencies
    .filter(({ ref }) => bundledRefs.has(ref))
    .map(({ ref, dependsOn }) => ({
      ref,
      dependsOn: dependsOn.filter((to) => bundledRefs.has(to)),
    }))
  const components = sbom.components
    .filter((part) => bundledRefs.has(part['bom-ref']))
    .map((part) => ({ ...part, scope: 'required' }))
  const missingRefs = [...bundledRefs].filter(
    (ref) => !components.some((part) => part['bom-ref'] === ref),
  )
  if (missingRefs.length > 0)
    throw new Error(`npm's bill of materials lacks ${missingRefs.join(', ')}`)
  return JSON.stringify(
    {
      ...sbom,
      metadata: { ...metadata, component },
      components,
      dependencies: [{ ref: packageRef, dependsOn: [...bundledRefs] }, ...dependencies],
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

/** Returns the reference of a package in a bill of materials: its `bom-ref`. */
function refOf({ name, version }: BundledPackage): string {
  return `${name}@${version}`
}

async function readLicense({ directory, license, name, version }: BundledPackage): Promise<string> {
  const fileNames = (await readdir(directory)).filter((file) => LICENSE_FILE.test(file)).sort()
  const texts = await Promise.all(fileNames.map((file) => readFile(join(directory, file), 'utf8')))
  const title = `${name} ${version} (${license})`
  return [title, '='.repeat(title.length), ...texts, ''].join('\n')
}
