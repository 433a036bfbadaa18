import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode } from '../errors.js'
import { withClient } from '../pg/client.js'
import { codeOf, DATABASE_NAME, nullIfMissing, unusable } from './cluster.js'

/**
 * The state of a data directory. `locked`: PostgreSQL has crashed, or runs where it cannot be reached from here, such
 * as in another container. The two cannot be distinguished.
 */
export type FoundPostgres =
  | { state: 'missing' | 'stopped' | 'locked' }
  | { state: 'running'; url: string }

/** SQLSTATE classes of a server that accepts this user, but not now: out of connections, starting or stopping. */
const BUSY_CLASSES = new Set(['53', '57'])

/**
 * Finds the embedded PostgreSQL in a data directory, also that of another process. Creates and starts nothing.
 *
 * @throws `DATA_DIR_UNUSABLE` where this user cannot read the directory.
 */
export async function findEmbeddedPostgres(dataDir: string): Promise<FoundPostgres> {
  try {
    return await find(dataDir)
  } catch (error) {
    if (codeOf(error) === undefined) throw error
    const problem = `cannot be read: ${(error as Error).message}. Run this as the user who runs the service.`
    throw unusable(dataDir, problem, { cause: error })
  }
}

async function find(dataDir: string): Promise<FoundPostgres> {
  const cluster = join(dataDir, 'postgres')
  if ((await nullIfMissing(stat(join(cluster, 'PG_VERSION')))) === null) return { state: 'missing' }
  const lock = await nullIfMissing(readFile(join(cluster, 'postmaster.pid'), 'utf8'))
  if (lock === null) return { state: 'stopped' }
  const port = Number(lock.split('\n')[3])
  if (!(port > 0 && port < 65_536)) return { state: 'locked' }
  const password = (await readFile(join(dataDir, 'password'), 'utf8')).trim()
  const url = `postgres://${DATABASE_NAME}:${password}@127.0.0.1:${port}/${DATABASE_NAME}`
  return (await acceptsPassword(url)) ? { state: 'running', url } : { state: 'locked' }
}

/** Another program can use the port by now. */
async function acceptsPassword(url: string): Promise<boolean> {
  try {
    await withClient(url, async () => {})
    return true
  } catch (error) {
    const code = hasCode(error, 'DATABASE_UNAVAILABLE') ? codeOf(error.cause) : undefined
    return BUSY_CLASSES.has(String(code).slice(0, 2))
  }
}
