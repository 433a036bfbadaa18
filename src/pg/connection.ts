import { accessSync, constants } from 'node:fs'
import { LastLogoutError } from '../errors.js'

/** The schema of the tables if the database URL has no parameter `schema`. */
const DEFAULT_SCHEMA = 'public'

/** The parameters of a database URL that are paths of files. The driver reads these files for each connection. */
const FILE_PARAMETERS = ['sslrootcert', 'sslcert', 'sslkey']

/** Returns the parameter `schema` of the database URL, as in Prisma. It is the schema of all tables of last-logout. */
export function schemaOf(databaseUrl: string): string {
  return new URL(databaseUrl).searchParams.get('schema') ?? DEFAULT_SCHEMA
}

/** The connection options of `pg` that come from a database URL. */
export interface DriverOptions {
  connectionString: string
  options?: string
}

/**
 * Converts a database URL to options of the driver. If the URL has the parameter `options`, the driver ignores all
 * other options, so the settings are appended to this parameter.
 *
 * @param settings Run-time parameters of the session, such as `search_path`. They take precedence over the URL. A
 *   pooler in transaction mode refuses them.
 * @throws `CONFIGURATION` when a file in the URL is not readable.
 */
export function toDriverOptions(
  databaseUrl: string,
  settings: Record<string, string> = {},
): DriverOptions {
  const url = new URL(databaseUrl)
  assertReadable(url)
  const sessionOptions = Object.entries(settings).map(
    ([name, value]) => `-c ${name}=${escapeOption(value)}`,
  )
  if (sessionOptions.length === 0) return { connectionString: databaseUrl }
  const urlOptions = url.searchParams.get('options')
  url.searchParams.delete('options')
  // PostgreSQL applies the options in order, so the settings override the options of the URL.
  const options = urlOptions === null ? sessionOptions : [urlOptions, ...sessionOptions]
  return { connectionString: url.href, options: options.join(' ') }
}

/** Escapes a value for the startup parameter `options`. In this parameter, spaces separate arguments. */
function escapeOption(value: string): string {
  return value.replaceAll(/[\\\s]/g, '\\$&')
}

/** Asserts that this process can read every file in the URL. */
function assertReadable({ searchParams }: URL): void {
  for (const name of FILE_PARAMETERS) {
    const file = searchParams.get(name)
    if (file === null || file === '') continue
    try {
      accessSync(file, constants.R_OK)
    } catch (cause) {
      const { code } = Object(cause)
      throw new LastLogoutError(
        'CONFIGURATION',
        `the file ${file} cannot be read (${code}): correct ${name} in the database URL, or make the file readable for this user`,
        { cause },
      )
    }
  }
}
