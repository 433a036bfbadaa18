import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { createEmbeddedPostgres } from '../src/embedded-postgres/server.js'
import type { LastLogoutStore } from '../src/ports.js'
import { createDatabase, type Database } from '../src/store/database.js'
import { createLastLogoutStore } from '../src/store/last-logout-store.js'
import { applyMigrations } from '../src/store/migrations.js'
import { fillTables } from './fill-tables.js'
import { BENCH_DOMAIN } from './start-api.js'

/** A PostgreSQL server of a benchmark, with a database that the tenant of the benchmarks has claimed. */
export interface BenchDatabase {
  url: string
  database: Database
  store: LastLogoutStore
  close(): Promise<void>
}

/** Starts PostgreSQL with default settings in a temporary directory, and stores logouts of `users` users. */
export async function openBenchDatabase(users: number): Promise<BenchDatabase> {
  const dataDir = await mkdtemp(join(tmpdir(), 'last-logout-bench-'))
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

/** Starts PostgreSQL with default settings. After `close`, the data stays in `dataDir`. */
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
