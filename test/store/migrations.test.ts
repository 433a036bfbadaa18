import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { applyMigrations, assertMigrated } from '../../src/store/migrations.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openProxy } from '../_support/proxy.js'
import { readSchemaSql } from '../_support/schema-engine.js'

/** The key of the advisory lock that a migration holds, so that only one migration runs at a time. */
const MIGRATION_LOCK = 72707369

let database: TestDatabase
beforeEach(async () => {
  database = await createTestDatabase('template0')
})
afterEach(() => database.drop())

/** The names of all migrations, in order. */
const ALL_MIGRATIONS = [
  '20261124000000_init',
  '20261124120000_change_feed',
  '20261125000000_gaps_and_retention',
  '20261128000000_timeline',
  '20261128120000_forget',
]

test('applyMigrations applies every migration at the first run, and none at the second run', async () => {
  await expect(applyMigrations(database.url)).resolves.toEqual(ALL_MIGRATIONS)
  await expect(applyMigrations(database.url)).resolves.toEqual([])
})

test('two concurrent runs of applyMigrations apply each migration once', async () => {
  const runs = await Promise.all([applyMigrations(database.url), applyMigrations(database.url)])
  expect(runs.flat()).toEqual(ALL_MIGRATIONS)
})

test('assertMigrated rejects a database without tables, and the error names the command to run', async () => {
  await expect(assertMigrated(database.url)).rejects.toMatchObject({
    code: 'DATABASE_NOT_MIGRATED',
    message: expect.stringContaining('last-logout migrate'),
  })
})

test('assertMigrated accepts a migrated database', async () => {
  await applyMigrations(database.url)
  await expect(assertMigrated(database.url)).resolves.toBeUndefined()
})

test('applyMigrations rejects if an applied migration was edited later', async () => {
  await applyMigrations(database.url)
  // The checksums in the database now differ from those of the files.
  await database.query(`UPDATE _prisma_migrations SET checksum = 'another'`)
  await expect(applyMigrations(database.url)).rejects.toMatchObject({
    code: 'DATABASE_NOT_MIGRATED',
  })
})

test('a failed migration is rolled back, and the next run applies it', async () => {
  const duplicateTable = '42P07'
  await database.query('CREATE TABLE unattributable (id int)')
  await expect(applyMigrations(database.url)).rejects.toMatchObject({ code: duplicateTable })
  await database.query('DROP TABLE unattributable')
  await expect(applyMigrations(database.url)).resolves.toEqual(ALL_MIGRATIONS)
})

test('applyMigrations tries again after a deadlock with a transaction of a running version', async () => {
  await applyMigrations(database.url)
  await database.query(
    `DELETE FROM _prisma_migrations WHERE migration_name = '20261128120000_forget';
     ALTER TABLE tenant DROP COLUMN forget_key, DROP COLUMN forgotten_at;
     ALTER TABLE last_logout DROP COLUMN forgotten_at;
     ALTER TABLE session_logout DROP COLUMN forgotten_at`,
  )
  const reader = new pg.Client({ connectionString: database.url })
  await reader.connect()
  // The session that detects a deadlock is aborted. With this setting, it is that of the migration.
  await reader.query(`SET deadlock_timeout = '1h'; BEGIN`)
  await reader.query('SELECT FROM last_logout')
  const applied = applyMigrations(database.url, { timeoutMs: 30_000, maxAttempts: 2, delayMs: 1 })
  const waiting = `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = '${database.name}'`
  await expect.poll(() => database.query(waiting)).toHaveLength(1)
  await reader.query('SELECT FROM tenant')
  await reader.end()
  expect(await applied).toEqual(['20261128120000_forget'])
})

test('applyMigrations rejects, and does not end the process, if its connection is lost while it waits for the lock', async () => {
  const lockHolder = new pg.Client({ connectionString: database.url })
  await lockHolder.connect()
  await lockHolder.query(`SELECT pg_advisory_lock(${MIGRATION_LOCK})`)
  const proxy = await openProxy(database.url)
  const rejected = expect(applyMigrations(proxy.url)).rejects.toThrow()
  const countWaiting = async () => {
    const waiting = `SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`
    return (await lockHolder.query(waiting)).rowCount
  }
  await expect.poll(countWaiting).toBe(1)
  // Closes the connection of the migration.
  await proxy.close()
  await rejected
  await lockHolder.end()
})

test('the migrations create the tables that schema.prisma describes', async () => {
  await applyMigrations(database.url)
  const databaseOfSchema = await createTestDatabase('template0')
  try {
    await databaseOfSchema.query(await readSchemaSql(databaseOfSchema.url))
    expect(await readTables(database)).toEqual(await readTables(databaseOfSchema))
  } finally {
    await databaseOfSchema.drop()
  }
})

/** Reads the columns and the indexes of all tables, except the table of migrations. */
async function readTables(database: TestDatabase) {
  const columns = await database.query(
    `SELECT table_name, column_name, data_type, datetime_precision, is_nullable, column_default
     FROM information_schema.columns
     WHERE table_schema = 'public' AND table_name <> '_prisma_migrations'
     ORDER BY table_name, column_name`,
  )
  const indexes = await database.query(
    `SELECT indexdef FROM pg_indexes
     WHERE schemaname = 'public' AND tablename <> '_prisma_migrations' ORDER BY indexdef`,
  )
  expect(columns.length).toBeGreaterThan(0)
  expect(indexes.length).toBeGreaterThan(0)
  return { columns, indexes }
}
