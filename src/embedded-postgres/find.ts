import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode } from '../errors.js'
import { withClient } from '../pg/client.js'
import { codeOf, NAME, orNull, unusable } from './cluster.js'

/**
 * What there is in a data directory. `locked`: PostgreSQL runs there, where it cannot be reached from
 * here, such as in another container; or it has crashed. The two look the same.
 */
export type FoundPostgres =
  | { state: 'missing' | 'stopped' | 'locked' }
  | { state: 'running'; url: string }

/** Of a server that serves this user, if not this minute: all connections taken, starting, stopping. */
const BUSY_CLASSES = new Set(['53', '57'])

/**
 * Looks for an embedded PostgreSQL, perhaps of another process. Makes and starts nothing. Throws
 * `DATA_DIR_UNUSABLE` where it may not look.
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
  if ((await orNull(stat(join(cluster, 'PG_VERSION')))) === null) return { state: 'missing' }
  const lock = await orNull(readFile(join(cluster, 'postmaster.pid'), 'utf8'))
  if (lock === null) return { state: 'stopped' }
  const port = Number(lock.split('\n')[3])
  if (!(port > 0 && port < 65_536)) return { state: 'locked' }
  const password = (await readFile(join(dataDir, 'password'), 'utf8')).trim()
  const url = `postgres://${NAME}:${password}@127.0.0.1:${port}/${NAME}`
  return (await isOurs(url)) ? { state: 'running', url } : { state: 'locked' }
}

/** Its port may be a stranger's by now. */
async function isOurs(url: string): Promise<boolean> {
  try {
    await withClient(url, async () => {})
    return true
  } catch (error) {
    const code = hasCode(error, 'DATABASE_UNAVAILABLE') ? codeOf(error.cause) : undefined
    return BUSY_CLASSES.has(String(code).slice(0, 2))
  }
}
