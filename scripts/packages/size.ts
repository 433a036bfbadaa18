import { lstat, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { installTarballs } from './install.js'
import { PACKAGES, type PackageKind } from './manifest.js'

/** The size of an installation, or the upper bounds of the size. */
interface Size {
  megabytes: number
  packages: number
}

/** A package and the options with which it is installed. */
interface Installation {
  kind: PackageKind
  options: string[]
  max: Size
}

/** The size of an installation. */
export interface InstallSize extends Size {
  installation: Installation
  /** The largest packages, the largest first. */
  largest: [name: string, bytes: number][]
}

/**
 * The measured installations with their upper bounds. The embedded PostgreSQL takes 60 MB. If a new dependency is
 * added, or a module is bundled by mistake, the size exceeds the bounds.
 */
export const INSTALLATIONS: Installation[] = [
  { kind: 'service', options: [], max: { megabytes: 100, packages: 30 } },
  { kind: 'service', options: ['--omit=optional'], max: { megabytes: 40, packages: 25 } },
  { kind: 'client', options: [], max: { megabytes: 2, packages: 1 } },
  { kind: 'simulator', options: [], max: { megabytes: 10, packages: 1 } },
]

/** The unit of `blocks` in the result of `lstat`. */
const BLOCK_BYTES = 512
const MEGABYTE = 1024 ** 2
const MAX_LISTED_PACKAGES = 10

/** Installs a package from its tarball into an empty directory, and measures the installation. */
export async function measureInstall(installation: Installation): Promise<InstallSize> {
  const directory = await installTarballs([installation.kind], installation.options)
  try {
    const modulesDir = join(directory, 'node_modules')
    const lock = await readFile(join(modulesDir, '.package-lock.json'), 'utf8')
    const paths = Object.keys((JSON.parse(lock) as { packages: object }).packages)
    const sizes = await Promise.all(
      paths.map(async (path): Promise<[string, number]> => {
        const nestedPackages = paths.filter((other) => other.startsWith(`${path}/`))
        const bytes = await measureDirectory(
          join(directory, path),
          nestedPackages.map((nestedPath) => join(directory, nestedPath)),
        )
        return [path.replace(/^node_modules\//, ''), bytes]
      }),
    )
    return {
      installation,
      megabytes: Math.ceil((await measureDirectory(modulesDir)) / MEGABYTE),
      packages: paths.length,
      largest: sizes.sort(([, a], [, b]) => b - a).slice(0, MAX_LISTED_PACKAGES),
    }
  } finally {
    await rm(directory, { recursive: true })
  }
}

/** Returns one line for each bound that an installation exceeds. */
export function listExceededBounds({ installation, ...size }: InstallSize): string[] {
  return (['megabytes', 'packages'] as const)
    .filter((unit) => size[unit] > installation.max[unit])
    .map(
      (unit) =>
        `${nameInstallation(installation)}: ${size[unit]} ${unit}, at most ${installation.max[unit]} are allowed`,
    )
}

/** Renders a Markdown table of the sizes, and the largest packages of each installation. */
export function renderSizes(sizes: InstallSize[]): string {
  const rows = sizes.map(
    ({ installation, megabytes, packages }) =>
      `| \`${nameInstallation(installation)}\` | ${megabytes} | ${installation.max.megabytes} | ${packages} | ${installation.max.packages} |\n`,
  )
  const lists = sizes.map(({ installation, largest }) => {
    const lines = largest.map(
      ([name, bytes]) => `${(bytes / MEGABYTE).toFixed(1).padStart(8)} MB  ${name}\n`,
    )
    return `\n${nameInstallation(installation)}\n${lines.join('')}`
  })
  const header = '| install | MB | at most | packages | at most |\n|---|---|---|---|---|\n'
  return `${header}${rows.join('')}${lists.join('')}`
}

function nameInstallation({ kind, options }: Installation): string {
  return ['npm install', `${PACKAGES[kind]}.tgz`, ...options].join(' ')
}

/** Returns the disk space of a directory in bytes, as `du` measures it, without the excluded paths. */
async function measureDirectory(directory: string, excludedPaths: string[] = []): Promise<number> {
  let bytes = (await lstat(directory)).blocks * BLOCK_BYTES
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (excludedPaths.includes(path)) continue
    bytes += entry.isDirectory()
      ? await measureDirectory(path, excludedPaths)
      : (await lstat(path)).blocks * BLOCK_BYTES
  }
  return bytes
}
