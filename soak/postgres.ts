import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { Closers } from '../src/async/closers.js'
import { createEmbeddedPostgres } from '../src/embedded-postgres/server.js'
import { migrateQueue } from '../src/jobs/jobs.js'
import { applyMigrations } from '../src/store/migrations.js'

/** The PostgreSQL server of a soak. */
export interface SoakDatabase {
  url: string
  /** Counts the connections to the server, without the one that counts. */
  countConnections(): Promise<number>
  /** Whether the first sweep is complete: the search of the log of the past for logouts. */
  isFirstSweepComplete(): Promise<boolean>
}

/**
 * Starts a PostgreSQL server in a temporary directory, and creates all tables. The server runs until `closers` are
 * called.
 */
export async function openPostgres(closers: Closers): Promise<SoakDatabase> {
  const dataDir = await mkdtemp(join(tmpdir(), 'last-logout-soak-'))
  closers.push(() => rm(dataDir, { recursive: true, force: true }))
  const { url, close } = await createEmbeddedPostgres({ dataDir })
  closers.push(close)
  await applyMigrations(url)
  await migrateQueue(url)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  closers.push(() => client.end())
  const queryOne = async <Row extends object>(sql: string) => (await client.query<Row>(sql)).rows[0]
  return {
    url,
    async countConnections() {
      const row = await queryOne<{ n: number }>(`
        SELECT count(*)::int AS n FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`)
      return row?.n ?? 0
    },
    async isFirstSweepComplete() {
      const sql = 'SELECT FROM tenant WHERE checkpoint IS NOT NULL AND sweep_to IS NULL'
      return (await queryOne(sql)) !== undefined
    },
  }
}
