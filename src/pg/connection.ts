import { accessSync, constants } from 'node:fs'
import { LastLogoutError } from '../errors.js'

/** The schema of the tables if the database URL names none. */
const DEFAULT_SCHEMA = 'public'

/** Parameters of a database URL that name files, which the driver reads for each connection. */
const FILE_PARAMETERS = ['sslrootcert', 'sslcert', 'sslkey']

/**
 * Returns the schema of the tables: the parameter `schema` of the database URL, as in Prisma. Every statement names
 * this schema, so that the `search_path` of a role or a database has no effect.
 */
export function schemaOf(databaseUrl: string): string {
  return new URL(databaseUrl).searchParams.get('schema') ?? DEFAULT_SCHEMA
}

/** The connection options of `pg` that come from a database URL. */
export interface DriverOptions {
  connectionString: string
  options?: string
}

/**
 * Converts a database URL to options of the driver, with settings for the session. The settings are appended to the
 * value of the URL's parameter `options`, and take precedence over that value. The driver itself would ignore settings
 * if the URL has the parameter.
 *
 * @param settings Run-time parameters, such as `search_path`. A transaction pooler refuses them.
 * @throws `CONFIGURATION` when a file that the URL names cannot be read.
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
  // PostgreSQL applies the options in order: if two set the same parameter, the last one counts.
  const options = urlOptions === null ? sessionOptions : [urlOptions, ...sessionOptions]
  return { connectionString: url.href, options: options.join(' ') }
}

/** Escapes a value for the startup parameter `options`, in which spaces separate arguments. */
function escapeOption(value: string): string {
  return value.replaceAll(/[\\\s]/g, '\\$&')
}

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
