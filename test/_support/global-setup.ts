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
    /** URL of the PostgreSQL server that all test files share. Each file creates its own databases. */
    postgresUrl: string
    /** Settings of every session on that server, such as `timezone`. */
    postgresSettings: Record<string, string>
  }
}

/**
 * Builds the login Action. Starts the PostgreSQL server of a project, with a migrated database that test files copy.
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
  const template = new URL(postgres.url)
  template.pathname = '/migrated'
  await withClient(template.href, (client) => assertSettings(client, postgresSettings))
  await applyMigrations(template.href)
  await migrateQueue(template.href)
  provide('postgresUrl', postgres.url)
  return async () => {
    await postgres.close()
    await rm(dataDir, { recursive: true })
  }
}

/** Changes settings for all new sessions, without a restart of the server. */
async function changeSettings(client: pg.Client, settings: Record<string, string>): Promise<void> {
  for (const [name, value] of Object.entries(settings)) {
    await client.query(`ALTER ROLE ALL SET ${name} = ${client.escapeLiteral(value)}`)
  }
}

/** Throws if the settings have no effect, because the tests would then not test these settings. */
async function assertSettings(client: pg.Client, settings: Record<string, string>): Promise<void> {
  for (const [name, value] of Object.entries(settings)) {
    const { rows } = await client.query('SELECT current_setting($1) AS value', [name])
    if (rows[0].value !== value) throw new Error(`${name} is ${rows[0].value}, not ${value}`)
  }
}

/** Starts a server with a higher connection limit, because many test files share the server. */
async function startServer(dataDir: string): Promise<EmbeddedPostgres> {
  const options = { dataDir, durable: false }
  const server = await createEmbeddedPostgres(options)
  await withClient(server.url, (client) => client.query('ALTER SYSTEM SET max_connections = 500'))
  await server.close()
  return createEmbeddedPostgres(options)
}
