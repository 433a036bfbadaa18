import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import type { TestProject } from 'vitest/node'
import {
  createEmbeddedPostgres,
  type EmbeddedPostgres,
} from '../../src/embedded-postgres/server.js'
import { migrateQueue } from '../../src/jobs/jobs.js'
import { withClient } from '../../src/pg/client.js'
import { applyMigrations } from '../../src/store/migrations.js'
import { setup as buildAction } from './build-action.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** The URL of the PostgreSQL server that all test files share. Each file creates its own databases. */
    postgresUrl: string
    /** Settings of PostgreSQL, such as `timezone`. They apply to every session on that server. */
    postgresSettings: Record<string, string>
  }
}

/**
 * Builds the login Action. Starts the PostgreSQL server of a Vitest project, and creates the database `migrated` on it.
 * Test files copy this database.
 */
export async function setup({ config, provide }: TestProject): Promise<() => Promise<void>> {
  await buildAction()
  const dataDir = await mkdtemp(join(tmpdir(), 'last-logout-test-'))
  const postgres = await startServer(dataDir)
  const { postgresSettings = {} } = config.provide
  await withClient(postgres.url, async (client) => {
    await changeSettings(client, postgresSettings)
    await client.query('CREATE DATABASE migrated')
  })
  const migratedUrl = new URL(postgres.url)
  migratedUrl.pathname = '/migrated'
  await withClient(migratedUrl.href, (client) => assertSettings(client, postgresSettings))
  await applyMigrations(migratedUrl.href)
  await migrateQueue(migratedUrl.href)
  provide('postgresUrl', postgres.url)
  return async () => {
    await postgres.close()
    await rm(dataDir, { recursive: true })
  }
}

/** Changes settings of all new sessions. The server need not restart. */
async function changeSettings(client: pg.Client, settings: Record<string, string>): Promise<void> {
  for (const [name, value] of Object.entries(settings)) {
    await client.query(`ALTER ROLE ALL SET ${name} = ${client.escapeLiteral(value)}`)
  }
}

/** Throws if a setting has no effect. Without this check, the tests would pass without the setting. */
async function assertSettings(client: pg.Client, settings: Record<string, string>): Promise<void> {
  for (const [name, value] of Object.entries(settings)) {
    const { rows } = await client.query('SELECT current_setting($1) AS value', [name])
    if (rows[0].value !== value) throw new Error(`${name} is ${rows[0].value}, not ${value}`)
  }
}

/** Starts a server that accepts 500 connections, because many test files share it. */
async function startServer(dataDir: string): Promise<EmbeddedPostgres> {
  const options = { dataDir, durable: false }
  const server = await createEmbeddedPostgres(options)
  await withClient(server.url, (client) => client.query('ALTER SYSTEM SET max_connections = 500'))
  // The setting takes effect at the next start.
  await server.close()
  return createEmbeddedPostgres(options)
}
