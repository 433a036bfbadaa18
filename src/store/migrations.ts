import { createHash, randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { LastLogoutError } from '../errors.js'
import { withClient } from '../pg/client.js'
import { schemaOf } from '../pg/connection.js'
import { hasSqlState, INSUFFICIENT_PRIVILEGE } from '../pg/sql-state.js'
import { MIGRATION_TIMEOUT_MS } from '../pg/timeouts.js'
import { assertEncoding } from './encoding.js'
import { type LockLimits, withLockRetries } from './migration-locks.js'
import { assertPrivileges, migrationForbiddenError } from './privileges.js'
import { qualifyNames } from './tables.js'

const DIRECTORY = new URL('../../prisma/migrations/', import.meta.url)

/** Key of the advisory lock. Prisma's schema engine uses the same key, so that the two never run at the same time. */
const LOCK_KEY = 72_707_369

/** SQLSTATE: undefined_table. It is also the state for an unknown schema. */
const UNDEFINED_TABLE = '42P01'

/** Creates Prisma's table of applied migrations, which `prisma migrate` and this program share. */
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

/** A migration. */
export interface Migration {
  name: string
  sql: string
  checksum: string
}

/**
 * Applies all pending migrations in one transaction. Creates the schema of the URL if it is missing. Does not use
 * Prisma's schema engine, which is a separate program that must be downloaded.
 *
 * @returns The names of the applied migrations.
 * @throws `DATABASE_NOT_MIGRATED` if an applied migration has changed, or failed in another tool.
 * @throws `CONFIGURATION` if the encoding of the database is not UTF8, or the user lacks a privilege.
 * @throws `DATABASE_UNAVAILABLE` if the connection fails or breaks, or a lock is not available.
 */
export async function applyMigrations(
  databaseUrl: string,
  lockLimits?: LockLimits,
): Promise<string[]> {
  const schema = schemaOf(databaseUrl)
  const run = (lockTimeoutMs: number) =>
    withClient(databaseUrl, (client) => migrateSchema(client, schema, lockTimeoutMs), {
      queryTimeoutMs: MIGRATION_TIMEOUT_MS,
    })
  return withLockRetries(run, lockLimits)
}

async function migrateSchema(
  client: pg.Client,
  schema: string,
  lockTimeoutMs: number,
): Promise<string[]> {
  await assertEncoding(client)
  try {
    // At a stricter isolation level, this transaction would not see the migrations that another process has committed
    // during the wait for the advisory lock.
    await client.query('BEGIN ISOLATION LEVEL READ COMMITTED')
    await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK_KEY])
    // The wait for the advisory lock above has no limit, because another migration can take long.
    await client.query(`SET LOCAL lock_timeout = ${lockTimeoutMs}`)
    const pending = await applyPending(client, schema)
    await client.query('COMMIT')
    return pending.map((migration) => migration.name)
  } catch (error) {
    if (!hasSqlState(error, INSUFFICIENT_PRIVILEGE)) throw error
    await client.query('ROLLBACK')
    throw await migrationForbiddenError(client, schema, error)
  }
}

async function applyPending(client: pg.Client, schema: string): Promise<Migration[]> {
  const quotedSchema = pg.escapeIdentifier(schema)
  const { rows } = await client.query('SELECT FROM pg_namespace WHERE nspname = $1', [schema])
  // `CREATE SCHEMA IF NOT EXISTS` requires the privilege to create a schema even if the schema exists.
  if (rows.length === 0) await client.query(`CREATE SCHEMA ${quotedSchema}`)
  // The SQL of the migrations names no schema.
  await client.query(`SET LOCAL search_path TO ${quotedSchema}`)
  const history = await client.query('SELECT to_regclass($1) AS table', [
    qualifyNames(schema).migrations,
  ])
  if (history.rows[0].table === null) await client.query(CREATE_HISTORY)
  const pending = await readPending(client, schema)
  for (const migration of pending) await apply(client, migration)
  return pending
}

/**
 * Checks that all migrations have been applied to the schema of the URL.
 *
 * @throws `DATABASE_NOT_MIGRATED` if a migration was not applied, has changed, or failed in another tool.
 * @throws `CONFIGURATION` if the database user may not read the table of applied migrations.
 * @throws `DATABASE_UNAVAILABLE` if the connection fails or breaks.
 */
export async function assertMigrated(databaseUrl: string): Promise<void> {
  const schema = schemaOf(databaseUrl)
  await withClient(databaseUrl, (client) => assertNonePending(client, schema))
}

/**
 * Checks that all migrations have been applied, and that the database user may use the tables.
 *
 * @throws `CONFIGURATION` if the database user lacks a privilege.
 * @throws The errors of {@link assertMigrated}.
 */
export async function assertUsable(databaseUrl: string): Promise<void> {
  const schema = schemaOf(databaseUrl)
  await withClient(databaseUrl, async (client) => {
    await assertNonePending(client, schema)
    await assertPrivileges(client, schema)
  })
}

async function assertNonePending(client: pg.Client, schema: string): Promise<void> {
  const pending = await readPending(client, schema).catch(async (error) => {
    if (!(error instanceof pg.DatabaseError)) throw error
    if (error.code === UNDEFINED_TABLE) throw notMigratedError()
    // The error of `assertPrivileges` names the missing privileges.
    if (error.code === INSUFFICIENT_PRIVILEGE) await assertPrivileges(client, schema)
    throw error
  })
  if (pending.length > 0) throw notMigratedError()
}

async function readPending(client: pg.Client, schema: string): Promise<Migration[]> {
  const { rows } = await client.query<{ name: string; checksum: string; finished: boolean }>(
    `SELECT migration_name AS name, checksum, finished_at IS NOT NULL AS finished
     FROM ${qualifyNames(schema).migrations} WHERE rolled_back_at IS NULL`,
  )
  const applied = new Map(rows.map((row) => [row.name, row]))
  const migrations = await loadMigrations()
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

/** The migrations of this version, after they have been read. */
let loadedMigrations: Promise<Migration[]> | undefined

/**
 * Reads the migrations of this version from their files, once. A process that waits for its database calls this first:
 * an upgrade can replace the files in the meantime.
 */
export function loadMigrations(): Promise<Migration[]> {
  loadedMigrations ??= readMigrations()
  return loadedMigrations
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

function notMigratedError(): LastLogoutError {
  return new LastLogoutError(
    'DATABASE_NOT_MIGRATED',
    'the database is not migrated to this version: run `last-logout migrate`',
  )
}
