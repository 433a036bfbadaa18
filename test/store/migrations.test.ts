import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { hasCode } from '../../src/errors.js'
import { applyMigrations, assertMigrated } from '../../src/store/migrations.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openProxy } from '../_support/proxy.js'
import { readSchemaSql } from '../_support/schema-engine.js'

let database: TestDatabase
beforeEach(async () => {
  database = await createTestDatabase('template0')
})
afterEach(() => database.drop())

const ALL = [
  '20261124000000_init',
  '20261124120000_change_feed',
  '20261125000000_gaps_and_retention',
  '20261128000000_timeline',
  '20261128120000_forget',
]

test('the first run creates the tables, and a second run changes nothing', async () => {
  await expect(applyMigrations(database.url)).resolves.toEqual(ALL)
  await expect(applyMigrations(database.url)).resolves.toEqual([])
})

test('two concurrent runs create the tables once', async () => {
  const runs = await Promise.all([applyMigrations(database.url), applyMigrations(database.url)])
  expect(runs.flat()).toEqual(ALL)
})

test('a database without tables is rejected with the command that creates them', async () => {
  const error = await assertMigrated(database.url).catch((error) => error)
  expect(hasCode(error, 'DATABASE_NOT_MIGRATED')).toBe(true)
  expect(error.message).toContain('last-logout migrate')
})

test('a migrated database is accepted', async () => {
  await applyMigrations(database.url)
  await expect(assertMigrated(database.url)).resolves.toBeUndefined()
})

test('a migration that was edited after it was applied is rejected', async () => {
  await applyMigrations(database.url)
  await database.query(`UPDATE _prisma_migrations SET checksum = 'another'`)
  await expect(applyMigrations(database.url)).rejects.toMatchObject({
    code: 'DATABASE_NOT_MIGRATED',
  })
})

test('a failed migration is rolled back, and applied by the next run', async () => {
  await database.query('CREATE TABLE unattributable (id int)')
  await expect(applyMigrations(database.url)).rejects.toMatchObject({ code: '42P07' })
  await database.query('DROP TABLE unattributable')
  await expect(applyMigrations(database.url)).resolves.toEqual(ALL)
})

test('a lost connection rejects the run and does not end the process', async () => {
  const other = new pg.Client({ connectionString: database.url })
  await other.connect()
  await other.query('SELECT pg_advisory_lock(72707369)')
  const proxy = await openProxy(database.url)
  const migrating = applyMigrations(proxy.url)
  migrating.catch(() => {})
  const countWaiting = async () =>
    (await other.query(`SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`)).rowCount
  await expect.poll(countWaiting).toBe(1)
  await proxy.close()
  await expect(migrating).rejects.toThrow()
  await other.end()
})

test('the migrations create the tables that schema.prisma describes', async () => {
  await applyMigrations(database.url)
  const described = await createTestDatabase('template0')
  try {
    await described.query(await readSchemaSql(described.url))
    expect(await readTables(database)).toEqual(await readTables(described))
  } finally {
    await described.drop()
  }
})

async function readTables(from: TestDatabase) {
  const columns = await from.query(
    `SELECT table_name, column_name, data_type, datetime_precision, is_nullable, column_default
     FROM information_schema.columns
     WHERE table_schema = 'public' AND table_name <> '_prisma_migrations'
     ORDER BY table_name, column_name`,
  )
  const indexes = await from.query(
    `SELECT indexdef FROM pg_indexes
     WHERE schemaname = 'public' AND tablename <> '_prisma_migrations' ORDER BY indexdef`,
  )
  expect(columns.length).toBeGreaterThan(0)
  expect(indexes.length).toBeGreaterThan(0)
  return { columns, indexes }
}
