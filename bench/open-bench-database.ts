import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { createEmbeddedPostgres } from '../src/embedded-postgres/server.js'
import { createDatabase, type Database } from '../src/store/database.js'
import { createLastLogoutStore } from '../src/store/last-logout-store.js'
import { applyMigrations } from '../src/store/migrations.js'
import { fillTables } from './fill-tables.js'
import { BENCH_DOMAIN } from './start-api.js'

/** A PostgreSQL server of a benchmark, with a database that the tenant of the benchmarks has claimed. */
export interface BenchDatabase {
  url: string
  database: Database
  close(): Promise<void>
}

/** Starts PostgreSQL with default settings, and stores logouts of this number of users. */
export async function openBenchDatabase(users: number): Promise<BenchDatabase> {
  const dataDir = await mkdtemp(join(tmpdir(), 'last-logout-bench-'))
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
  await fillTables(database, users)
  return {
    url: postgres.url,
    database,
    async close() {
      await database.close()
      await postgres.close()
      await rm(dataDir, { recursive: true })
    },
  }
}
