import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { LastLogoutError } from '../errors.js'

/** The byte order mark, with which some editors begin a file. It is not a part of the first name or value. */
export const BYTE_ORDER_MARK = /^\uFEFF/

/**
 * Adds the variables of the file `.env` to the environment, if the directory contains this file. Variables of the
 * environment take precedence, unless they are empty.
 *
 * @throws `CONFIGURATION` if the file exists and cannot be read.
 */
export function loadEnvFile(env: Record<string, string | undefined>, directory: string): void {
  for (const [name, value] of Object.entries(parseEnv(readEnvFile(join(directory, '.env'))))) {
    if ((env[name] ?? '') === '') env[name] = value
  }
}

/** Returns the content of the file. Returns an empty text if the file does not exist. */
function readEnvFile(path: string): string {
  try {
    return readFileSync(path, 'utf8').replace(BYTE_ORDER_MARK, '')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return ''
    throw new LastLogoutError(
      'CONFIGURATION',
      `${path} cannot be read (${code}): it must be a file that the user of this process may read. To do without it, move it, and set all variables in the environment.`,
      { cause: error },
    )
  }
}
