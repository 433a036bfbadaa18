import { createHash, randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { LastLogoutError } from '../errors.js'
import { withClient } from '../pg/client.js'
import { MIGRATION_TIMEOUT_MS } from '../pg/timeouts.js'
import { type LockLimits, withLockRetries } from './migration-locks.js'

const DIRECTORY = new URL('../../prisma/migrations/', import.meta.url)

/** Key of the advisory lock that Prisma's schema engine takes: both can migrate the same database. */
const LOCK_KEY = 72_707_369

/** SQLSTATE: undefined_table. */
const UNDEFINED_TABLE = '42P01'

/** Prisma's history table, so that `prisma migrate` and this runner recognize each other's migrations. */
const CREATE_HISTORY = `
  CREATE TABLE IF NOT EXISTS _prisma_migrations (
    id VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum VARCHAR(64) NOT NULL,
    finished_at TIMESTAMPTZ,
    migration_name VARCHAR(255) NOT NULL,
    logs TEXT,
    rolled_back_at TIMESTAMPTZ,
    started_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count INTEGER NOT NULL DEFAULT 0
  )`

interface Migration {
  name: string
  sql: string
  checksum: string
}

/**
 * Applies all pending migrations in one transaction. Prisma's schema engine would do the same, but is a separate
 * program to download. A service that runs beside it does not wait long for the locks.
 *
 * @returns The names of the applied migrations.
 * @throws `DATABASE_NOT_MIGRATED` when an applied migration has changed, or failed in another tool.
 * @throws `DATABASE_UNAVAILABLE` when the connection fails or breaks, or a lock is not available.
 */
export async function applyMigrations(
  databaseUrl: string,
  lockLimits?: LockLimits,
): Promise<string[]> {
  const run = (lockTimeoutMs: number) =>
    withClient(databaseUrl, (client) => migrateWith(client, lockTimeoutMs), {
      queryTimeoutMs: MIGRATION_TIMEOUT_MS,
    })
  return withLockRetries(run, lockLimits)
}

async function migrateWith(client: pg.Client, lockTimeoutMs: number): Promise<string[]> {
  await client.query('BEGIN')
  await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK_KEY])
  // After the advisory lock: another run of this program is waited for.
  await client.query(`SET LOCAL lock_timeout = ${lockTimeoutMs}`)
  await client.query(CREATE_HISTORY)
  const pending = await readPending(client)
  for (const migration of pending) await apply(client, migration)
  await client.query('COMMIT')
  return pending.map((migration) => migration.name)
}

/**
 * Checks that every migration has been applied.
 *
 * @throws `DATABASE_NOT_MIGRATED` when one is missing, has changed, or failed in another tool.
 * @throws `DATABASE_UNAVAILABLE` when the connection fails or breaks.
 */
export async function assertMigrated(databaseUrl: string): Promise<void> {
  const pending = await withClient(databaseUrl, readPending).catch((error) => {
    if (error instanceof pg.DatabaseError && error.code === UNDEFINED_TABLE) throw notMigrated()
    throw error
  })
  if (pending.length > 0) throw notMigrated()
}

async function readPending(client: pg.Client): Promise<Migration[]> {
  const { rows } = await client.query<{ name: string; checksum: string; finished: boolean }>(
    `SELECT migration_name AS name, checksum, finished_at IS NOT NULL AS finished
     FROM _prisma_migrations WHERE rolled_back_at IS NULL`,
  )
  const applied = new Map(rows.map((row) => [row.name, row]))
  const migrations = await readMigrations()
  return migrations.filter((migration) => {
    const row = applied.get(migration.name)
    if (row === undefined) return true
    if (row.finished && row.checksum === migration.checksum) return false
    throw new LastLogoutError(
      'DATABASE_NOT_MIGRATED',
      row.finished
        ? `migration ${migration.name} was applied with another checksum than that of this program: use the program that migrated the database, or restore the file`
        : `migration ${migration.name} failed in another tool: resolve it there (prisma migrate resolve), then run \`last-logout migrate\` again`,
    )
  })
}

async function apply(client: pg.Client, { name, sql, checksum }: Migration): Promise<void> {
  await client.query(sql)
  await client.query(
    `INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count)
     VALUES ($1, $2, $3, now(), 1)`,
    [randomUUID(), checksum, name],
  )
}

async function readMigrations(): Promise<Migration[]> {
  const entries = await readdir(DIRECTORY, { withFileTypes: true })
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  return Promise.all(names.sort().map(readMigration))
}

async function readMigration(name: string): Promise<Migration> {
  const sql = await readFile(fileURLToPath(new URL(`${name}/migration.sql`, DIRECTORY)), 'utf8')
  return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
}

function notMigrated(): LastLogoutError {
  return new LastLogoutError(
    'DATABASE_NOT_MIGRATED',
    'the database is not migrated to this version: run `last-logout migrate`',
  )
}
