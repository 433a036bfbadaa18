import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { buildClient } from './build-client.js'
import { buildService } from './build-service.js'
import { buildSimulator } from './build-simulator.js'
import { readSbom } from './bundled-packages.js'
import { PACKAGES, type PackageKind, packageDirectory, tarballName } from './manifest.js'

/** The directory of the tarballs. */
export const TARBALLS_DIR = 'dist/packages'

/** The file with the checksums, in the format of `sha256sum`. */
export const CHECKSUMS_FILE = 'SHA256SUMS'

/** Builds all packages, and packs each into a tarball. Writes the bills of materials and the checksums beside them. */
export async function packPackages(): Promise<void> {
  const sbom = await readSbom()
  await rm(TARBALLS_DIR, { recursive: true, force: true })
  await mkdir(TARBALLS_DIR, { recursive: true })
  await Promise.all([buildClient(sbom), buildSimulator(sbom), buildService(sbom)])
  for (const kind of Object.keys(PACKAGES) as PackageKind[]) await pack(kind)
  const files = (await readdir(TARBALLS_DIR)).sort()
  const lines = await Promise.all(files.map(formatChecksum))
  await writeFile(join(TARBALLS_DIR, CHECKSUMS_FILE), lines.join(''))
}

async function pack(kind: PackageKind): Promise<void> {
  const targetDir = resolve(TARBALLS_DIR)
  const args = ['pack', '--silent', '--ignore-scripts', '--pack-destination', targetDir]
  await promisify(execFile)('npm', args, { cwd: packageDirectory(kind) })
  const sbom = join(packageDirectory(kind), 'sbom.cdx.json')
  await cp(sbom, join(targetDir, tarballName(kind).replace(/\.tgz$/, '.cdx.json')))
}

async function formatChecksum(name: string): Promise<string> {
  const content = await readFile(join(TARBALLS_DIR, name))
  return `${createHash('sha256').update(content).digest('hex')}  ${name}\n`
}
