import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { migrateQueue } from '../../src/jobs/jobs.js'
import { createEmbeddedPostgres } from '../../src/store/embedded-postgres.js'
import { applyMigrations } from '../../src/store/migrations.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** Of the server that all test files share; each makes databases of its own on it. */
    postgresUrl: string
  }
}

/** Builds the login Action, and starts one PostgreSQL for the whole run, with a migrated database to copy. */
export async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  await promisify(execFile)('npm', ['run', '--silent', 'build:action'])
  const dataDir = await mkdtemp(join(tmpdir(), 'last-logout-test-'))
  const postgres = await createEmbeddedPostgres({ dataDir, durable: false })
  const client = new pg.Client({ connectionString: postgres.url })
  await client.connect()
  await client.query('CREATE DATABASE migrated')
  await client.end()
  const template = new URL(postgres.url)
  template.pathname = '/migrated'
  await applyMigrations(template.href)
  await migrateQueue(template.href)
  provide('postgresUrl', postgres.url)
  return async () => {
    await postgres.close()
    await rm(dataDir, { recursive: true })
  }
}
