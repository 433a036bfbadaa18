import pg from 'pg'
import { LastLogoutError } from '../errors.js'

/** The required encoding. User ids can contain characters that no other encoding can represent. */
const ENCODING = 'UTF8'

/** Describes the problem if the encoding of a database is not UTF8. Otherwise returns `null`. */
export function findEncodingProblem(database: string, encoding: string): string | null {
  if (encoding === ENCODING) return null
  const other = pg.escapeIdentifier(`${database}_utf8`)
  return `the database ${database} has the encoding ${encoding}, which cannot store every user id: create a database with UTF8, and set DATABASE_URL to it: CREATE DATABASE ${other} ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;`
}

/**
 * Checks the encoding of the database.
 *
 * @throws `CONFIGURATION` if the encoding is not UTF8.
 */
export async function assertEncoding(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ name: string; encoding: string }>(
    `SELECT current_database() AS name, current_setting('server_encoding') AS encoding`,
  )
  const [{ name, encoding } = { name: '', encoding: '' }] = rows
  const problem = findEncodingProblem(name, encoding)
  if (problem !== null) throw new LastLogoutError('CONFIGURATION', problem)
}
