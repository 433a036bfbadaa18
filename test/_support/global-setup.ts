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

/** Builds the login Action. Starts one PostgreSQL server per project, with a migrated database that test files copy. */
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

/** Changes settings for all roles. New sessions have them at once, without a restart or reload of the server. */
async function changeSettings(client: pg.Client, settings: Record<string, string>): Promise<void> {
  for (const [name, value] of Object.entries(settings)) {
    await client.query(`ALTER ROLE ALL SET ${name} = ${client.escapeLiteral(value)}`)
  }
}

/** Throws if the settings have no effect. Tests would otherwise pass although the server does not have the settings. */
async function assertSettings(client: pg.Client, settings: Record<string, string>): Promise<void> {
  for (const [name, value] of Object.entries(settings)) {
    const { rows } = await client.query('SELECT current_setting($1) AS value', [name])
    if (rows[0].value !== value) throw new Error(`${name} is ${rows[0].value}, not ${value}`)
  }
}

/** Starts a server with a higher connection limit: many test files share it, and each can run several services. */
async function startServer(dataDir: string): Promise<EmbeddedPostgres> {
  const options = { dataDir, durable: false }
  const first = await createEmbeddedPostgres(options)
  await withClient(first.url, (client) => client.query('ALTER SYSTEM SET max_connections = 500'))
  await first.close()
  return createEmbeddedPostgres(options)
}
