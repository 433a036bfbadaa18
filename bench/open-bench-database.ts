import { pino } from 'pino'
import { createEmbeddedPostgres } from '../src/embedded-postgres/server.js'
import { withClient } from '../src/pg/client.js'
import type { LastLogoutStore } from '../src/ports.js'
import { createDatabase, type Database } from '../src/store/database.js'
import { createLastLogoutStore } from '../src/store/last-logout-store.js'
import { applyMigrations } from '../src/store/migrations.js'
import { type BenchRun, openInRun } from './bench-run.js'
import { fillTables } from './fill-tables.js'
import { BENCH_DOMAIN } from './start-api.js'
import { createTemporaryDirectory } from './temporary-postgres.js'

/** A PostgreSQL server of a benchmark. Its database belongs to the tenant {@link BENCH_DOMAIN}. */
export interface BenchDatabase {
  url: string
  database: Database
  store: LastLogoutStore
}

/**
 * Starts PostgreSQL in a temporary directory, and stores a logout of each of `users` users. Everything ends with the
 * run.
 *
 * @param sharedBuffers PostgreSQL's setting `shared_buffers`. Default: PostgreSQL's default, 128 MB.
 */
export async function openBenchDatabase(
  run: BenchRun,
  users: number,
  sharedBuffers?: string,
): Promise<BenchDatabase> {
  const dataDir = await createTemporaryDirectory(run)
  if (sharedBuffers !== undefined) await setSharedBuffers(run, dataDir, sharedBuffers)
  const bench = await openBenchDatabaseIn(run, dataDir)
  await fillTables(bench.database, users)
  return bench
}

/** Creates the data directory, and sets `shared_buffers` for the next start of PostgreSQL. */
async function setSharedBuffers(run: BenchRun, dataDir: string, value: string): Promise<void> {
  const postgres = await openInRun(run, createEmbeddedPostgres({ dataDir }))
  await withClient(postgres.url, (client) =>
    client.query(`ALTER SYSTEM SET shared_buffers = ${client.escapeLiteral(value)}`),
  )
  await postgres.close()
}

/** Starts PostgreSQL, which stores its data in `dataDir`. The data remains there after the run. */
export async function openBenchDatabaseIn(run: BenchRun, dataDir: string): Promise<BenchDatabase> {
  const postgres = await openInRun(run, createEmbeddedPostgres({ dataDir }))
  await applyMigrations(postgres.url)
  const database = createDatabase(postgres.url, pino({ level: 'warn' }), {
    queryTimeoutMs: 300_000,
  })
  run.closers.push(database.close)
  const store = createLastLogoutStore({
    database,
    domain: BENCH_DOMAIN,
    horizonMs: 0,
  })
  await store.claim()
  return { url: postgres.url, database, store }
}
