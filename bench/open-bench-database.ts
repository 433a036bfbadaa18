import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { createEmbeddedPostgres } from '../src/embedded-postgres/server.js'
import { withClient } from '../src/pg/client.js'
import type { LastLogoutStore } from '../src/ports.js'
import { createDatabase, type Database } from '../src/store/database.js'
import { createLastLogoutStore } from '../src/store/last-logout-store.js'
import { applyMigrations } from '../src/store/migrations.js'
import { fillTables } from './fill-tables.js'
import { BENCH_DOMAIN } from './start-api.js'

/** A PostgreSQL server of a benchmark. Its database belongs to the tenant {@link BENCH_DOMAIN}. */
export interface BenchDatabase {
  url: string
  database: Database
  store: LastLogoutStore
  close(): Promise<void>
}

/**
 * Starts PostgreSQL in a temporary directory, and stores a logout of each of `users` users.
 *
 * @param sharedBuffers PostgreSQL's setting `shared_buffers`. Default: PostgreSQL's default, 128 MB.
 */
export async function openBenchDatabase(
  users: number,
  sharedBuffers?: string,
): Promise<BenchDatabase> {
  const dataDir = await mkdtemp(join(tmpdir(), 'last-logout-bench-'))
  if (sharedBuffers !== undefined) await setSharedBuffers(dataDir, sharedBuffers)
  const bench = await openBenchDatabaseIn(dataDir)
  await fillTables(bench.database, users)
  return {
    ...bench,
    async close() {
      await bench.close()
      await rm(dataDir, { recursive: true })
    },
  }
}

/** Creates the data directory, and sets `shared_buffers` for the next start of PostgreSQL. */
async function setSharedBuffers(dataDir: string, value: string): Promise<void> {
  const postgres = await createEmbeddedPostgres({ dataDir })
  await withClient(postgres.url, (client) =>
    client.query(`ALTER SYSTEM SET shared_buffers = ${client.escapeLiteral(value)}`),
  )
  await postgres.close()
}

/** Starts PostgreSQL, which stores its data in `dataDir`. The data remains there after `close`. */
export async function openBenchDatabaseIn(dataDir: string): Promise<BenchDatabase> {
  const postgres = await createEmbeddedPostgres({ dataDir })
  await applyMigrations(postgres.url)
  const database = createDatabase(postgres.url, pino({ level: 'warn' }), {
    queryTimeoutMs: 300_000,
  })
  const store = createLastLogoutStore({
    database,
    domain: BENCH_DOMAIN,
    horizonMs: 0,
  })
  await store.claim()
  return {
    url: postgres.url,
    database,
    store,
    async close() {
      await database.close()
      await postgres.close()
    },
  }
}
