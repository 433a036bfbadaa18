import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode, LastLogoutError } from '../errors.js'
import { withClient } from '../pg/client.js'
import { DATABASE_NAME } from './cluster.js'
import { codeOf, nullIfMissing, unusableError } from './errors.js'
import { readPassword } from './password.js'

/**
 * The state of the embedded PostgreSQL in a data directory:
 *
 * - `missing`: there is no cluster.
 * - `stopped`: no server runs.
 * - `running`: a server accepts connections at `url`.
 * - `locked`: the lock file of a server exists, but the server is unreachable. The server has crashed, or runs in
 *   another container. This process cannot distinguish these cases.
 */
export type FoundPostgres =
  | { state: 'missing' | 'stopped' | 'locked' }
  | { state: 'running'; url: string }

/**
 * SQLSTATE classes of a server that accepts no connection at the moment: no connection is free (53), or the server is
 * starting or stopping (57). Such a server has not proved that it knows the password, so its URL is not returned.
 */
const BUSY_CLASSES = new Set(['53', '57'])

/**
 * Returns the state of the embedded PostgreSQL of a data directory, even if another process started it. Creates and
 * starts nothing.
 *
 * @throws `DATA_DIR_UNUSABLE` if this user cannot read the directory, or if the password is missing.
 * @throws `DATABASE_UNAVAILABLE` if a server runs, but accepts no connection at the moment.
 */
export async function findEmbeddedPostgres(dataDir: string): Promise<FoundPostgres> {
  try {
    return await find(dataDir)
  } catch (error) {
    if (error instanceof LastLogoutError || codeOf(error) === undefined) throw error
    const problem = `cannot be read: ${(error as Error).message}. Run this as the user who runs the service.`
    throw unusableError(dataDir, problem, { cause: error })
  }
}

async function find(dataDir: string): Promise<FoundPostgres> {
  const cluster = join(dataDir, 'postgres')
  if ((await nullIfMissing(stat(join(cluster, 'PG_VERSION')))) === null) return { state: 'missing' }
  const lock = await nullIfMissing(readFile(join(cluster, 'postmaster.pid'), 'utf8'))
  if (lock === null) return { state: 'stopped' }
  const port = Number(lock.split('\n')[3])
  if (!(port > 0 && port < 65_536)) return { state: 'locked' }
  const password = await readPassword(dataDir)
  const url = `postgres://${DATABASE_NAME}:${password}@127.0.0.1:${port}/${DATABASE_NAME}`
  return (await knowsPassword(url)) ? { state: 'running', url } : { state: 'locked' }
}

/**
 * Whether the server at `url` proves that it knows the password of the data directory. After a crash of our server,
 * another program can use the same port. That program must not get the password.
 */
async function knowsPassword(url: string): Promise<boolean> {
  try {
    await withClient(url, async () => {}, { scramOnly: true })
    return true
  } catch (error) {
    const code = hasCode(error, 'DATABASE_UNAVAILABLE') ? codeOf(error.cause) : undefined
    if (BUSY_CLASSES.has(String(code).slice(0, 2))) throw error
    return false
  }
}
