import { readFileSync } from 'node:fs'

/** The names of the packages on npm. The names are not reserved until the owner publishes the packages. */
export const PACKAGES = {
  service: 'last-logout',
  client: 'last-logout-client',
  simulator: 'last-logout-simulator',
} as const

/** A key of {@link PACKAGES}. */
export type PackageKind = keyof typeof PACKAGES

/** Address of the repository, such as `https://github.com/OWNER/last-logout`. Empty until the owner sets it. */
export const REPOSITORY_URL: string = ''

/** The content of a package.json. */
export interface Manifest {
  version: string
  dependencies?: Record<string, string>
  optionalDependencies?: Record<string, string>
  [field: string]: unknown
}

/** The manifest of this repository. All packages have the same version. */
export const ROOT_MANIFEST: Manifest = readManifest('package.json')

/** Reads a package.json. */
export function readManifest(file: string): Manifest {
  return JSON.parse(readFileSync(file, 'utf8'))
}

/** Creates the manifest of a package from its fields and the common fields of all packages. */
export function createManifest(kind: PackageKind, fields: object): Manifest {
  const { version, license, engines } = ROOT_MANIFEST
  const repository = REPOSITORY_URL !== '' && {
    homepage: `${REPOSITORY_URL}#readme`,
    bugs: `${REPOSITORY_URL}/issues`,
    repository: { type: 'git', url: `git+${REPOSITORY_URL}.git` },
  }
  return { name: PACKAGES[kind], version, ...fields, license, engines, ...repository }
}

/** Returns the directory in which a package is built. */
export function packageDirectory(kind: PackageKind): string {
  return `dist/${kind}-package`
}

/** Returns the file name that `npm pack` gives to the tarball of a package. */
export function tarballName(kind: PackageKind): string {
  return `${PACKAGES[kind]}-${ROOT_MANIFEST.version}.tgz`
}
