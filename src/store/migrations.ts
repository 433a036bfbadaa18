import { createHash, randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { LastLogoutError } from '../errors.js'
import { withClient } from '../pg/client.js'

const DIRECTORY = new URL('../../prisma/migrations/', import.meta.url)

/** The advisory lock that Prisma's own schema engine takes: both may migrate the same database. */
const LOCK = 72_707_369

/** How long one statement of a migration may take, in milliseconds. */
const MIGRATION_TIMEOUT_MS = 600_000

/** SQLSTATE: undefined_table. */
const UNDEFINED_TABLE = '42P01'

/** Prisma's ledger, so that `prisma migrate` reads what this runner did, and the reverse. */
const CREATE_LEDGER = `
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
 * Brings the database's tables up to date and returns the names of the migrations applied: all that
 * are missing, or none. Prisma's schema engine would do the same, but is a program that has to be
 * downloaded.
 */
export async function applyMigrations(databaseUrl: string): Promise<string[]> {
  return withClient(databaseUrl, migrateWith, MIGRATION_TIMEOUT_MS)
}

async function migrateWith(client: pg.Client): Promise<string[]> {
  await client.query('BEGIN')
  await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK])
  await client.query(CREATE_LEDGER)
  const pending = await readPending(client)
  for (const migration of pending) await apply(client, migration)
  await client.query('COMMIT')
  return pending.map((migration) => migration.name)
}

/** Throws `DATABASE_NOT_MIGRATED` unless every migration has been applied. */
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
        ? `migration ${migration.name} was applied in another version than this program has: use the program that migrated the database, or restore the file`
        : `migration ${migration.name} failed half-way in another tool: mend it there (prisma migrate resolve), then run \`last-logout migrate\` again`,
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
    'the database has no tables of this version yet: run `last-logout migrate`',
  )
}
