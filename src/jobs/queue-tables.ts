import {
  assertSchemaCompatibility,
  DEFAULT_SCHEMA,
  LATEST_SCHEMA_VERSION,
  runMigrations,
  SchemaMigrationRequiredError,
} from 'bullmq'
import type pg from 'pg'
import { LastLogoutError } from '../errors.js'
import { withClient } from '../pg/client.js'
import { hasSqlState, INSUFFICIENT_PRIVILEGE } from '../pg/sql-state.js'
import { MIGRATION_TIMEOUT_MS } from '../pg/timeouts.js'

/**
 * Creates or updates the tables of the queue, in the schema `bullmq`.
 *
 * @throws `CONFIGURATION` when the database user lacks a privilege.
 */
export async function migrateQueue(databaseUrl: string): Promise<void> {
  await withClient(databaseUrl, migrateWith, { queryTimeoutMs: MIGRATION_TIMEOUT_MS })
}

async function migrateWith(client: pg.Client): Promise<void> {
  try {
    // BullMQ's migration needs the privilege to create a schema, even if the tables are up to date. So the migration
    // does not run in this case.
    if ((await readVersion(client)) >= LATEST_SCHEMA_VERSION) return
    // BullMQ takes a lock in this transaction. Above READ COMMITTED, the transaction would not see the migrations that
    // another process has committed during the wait for the lock.
    const query = (sql: string, values?: unknown[]) =>
      client.query(sql === 'BEGIN' ? 'BEGIN ISOLATION LEVEL READ COMMITTED' : sql, values)
    await runMigrations({ query })
  } catch (error) {
    throw hasSqlState(error, INSUFFICIENT_PRIVILEGE)
      ? await migrationForbiddenError(client, error)
      : error
  }
}

async function migrationForbiddenError(
  client: pg.Client,
  cause: unknown,
): Promise<LastLogoutError> {
  const { role, database } = await readNames(client)
  return new LastLogoutError(
    'CONFIGURATION',
    `the tables of the job queue cannot be created: the database user lacks CREATE on the database, or does not own the schema ${DEFAULT_SCHEMA}; as a superuser or the owner of the database, run: GRANT CREATE ON DATABASE ${database} TO ${role}; or set REDIS_URL`,
    { cause },
  )
}

/** Reads the names of the session's user and database, quoted as identifiers. */
async function readNames(client: pg.Client): Promise<{ role: string; database: string }> {
  const { rows } = await client.query<{ role: string; database: string }>(
    'SELECT quote_ident(current_user) AS role, quote_ident(current_database()) AS database',
  )
  return rows[0] ?? { role: '', database: '' }
}

/**
 * Checks that the tables of the queue are up to date, and that the database user may use them.
 *
 * @throws `DATABASE_NOT_MIGRATED` when the tables are missing or too old.
 * @throws `CONFIGURATION` when the database user lacks a privilege.
 */
export async function assertTablesUsable(client: pg.Client): Promise<void> {
  const version = await readVersion(client).catch(async (error) => {
    throw hasSqlState(error, INSUFFICIENT_PRIVILEGE) ? await privilegesError(client) : error
  })
  if (version < LATEST_SCHEMA_VERSION) {
    throw new LastLogoutError(
      'DATABASE_NOT_MIGRATED',
      'the tables of the job queue are missing or too old: run `last-logout migrate`',
    )
  }
  const { rows } = await client.query<{ missing: number }>(COUNT_MISSING, [DEFAULT_SCHEMA])
  if (rows[0]?.missing !== 0) throw await privilegesError(client)
}

/** Counts the tables and sequences of the queue for which the database user lacks a privilege. */
const COUNT_MISSING = `
  SELECT count(*)::integer AS missing FROM pg_class
  WHERE relnamespace = $1::regnamespace AND CASE
    WHEN relkind IN ('r', 'p') THEN NOT (
      has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
      AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
    WHEN relkind = 'S' THEN NOT has_sequence_privilege(oid, 'USAGE') END`

async function privilegesError(client: pg.Client): Promise<LastLogoutError> {
  const { role } = await readNames(client)
  const grants = [
    `USAGE ON SCHEMA ${DEFAULT_SCHEMA}`,
    `SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${DEFAULT_SCHEMA}`,
    `USAGE ON ALL SEQUENCES IN SCHEMA ${DEFAULT_SCHEMA}`,
  ].map((privilege) => `GRANT ${privilege} TO ${role};`)
  return new LastLogoutError(
    'CONFIGURATION',
    `the database user lacks privileges on the tables of the job queue: let their owner run: ${grants.join(' ')}`,
  )
}

/** Returns the version of the tables; 0 if the tables do not exist or are too old. */
async function readVersion(client: pg.Client): Promise<number> {
  try {
    return await assertSchemaCompatibility(client, DEFAULT_SCHEMA, { skipVersionCheck: true })
  } catch (error) {
    if (error instanceof SchemaMigrationRequiredError) return 0
    throw error
  }
}
