import { existsSync } from 'node:fs'
import { arch } from 'node:os'
import { fileURLToPath } from 'node:url'

/** The npm packages with the programs of PostgreSQL. */
const PACKAGES = new URL('postgres-versions/node_modules/', import.meta.url)

/** The supported major versions of PostgreSQL. */
export const POSTGRES_VERSIONS = [14, 15, 16, 17, 18]

/**
 * Returns the directory with the programs of a major version. Throws if they are not installed. `npm run
 * test:environments` installs them.
 */
export function findPostgresVersion(major: number): string {
  const directory = fileURLToPath(new URL(`linux-${arch()}-${major}`, PACKAGES))
  if (existsSync(directory)) return directory
  throw new Error(
    `PostgreSQL ${major} is not installed: run \`npm ci --ignore-scripts --prefix test/environments/postgres-versions\``,
  )
}
