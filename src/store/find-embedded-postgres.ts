import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode } from '../errors.js'
import { withClient } from './client.js'
import { codeOf, NAME, orNull } from './embedded-postgres-cluster.js'

/** What there is in a data directory. */
export type FoundPostgres = { state: 'missing' | 'stopped' } | { state: 'running'; url: string }

/** Looks for an embedded PostgreSQL, perhaps of another process. Makes and starts nothing. */
export async function findEmbeddedPostgres(dataDir: string): Promise<FoundPostgres> {
  const cluster = join(dataDir, 'postgres')
  if ((await orNull(stat(join(cluster, 'PG_VERSION')))) === null) return { state: 'missing' }
  const lock = await orNull(readFile(join(cluster, 'postmaster.pid'), 'utf8'))
  const port = Number(lock?.split('\n')[3])
  if (!(port > 0 && port < 65_536)) return { state: 'stopped' }
  const password = (await readFile(join(dataDir, 'password'), 'utf8')).trim()
  const url = `postgres://${NAME}:${password}@127.0.0.1:${port}/${NAME}`
  return (await isOurs(url)) ? { state: 'running', url } : { state: 'stopped' }
}

/** After a crash the lock file stays, and its port may be a stranger's. */
async function isOurs(url: string): Promise<boolean> {
  try {
    await withClient(url, async () => {})
    return true
  } catch (error) {
    const code = String(hasCode(error, 'DATABASE_UNAVAILABLE') && codeOf(error.cause))
    return code !== 'ECONNREFUSED' && !code.startsWith('28')
  }
}
