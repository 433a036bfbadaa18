import { readdir, readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { RELEASED_MIGRATIONS } from '../_support/release-0-1-0.js'

// During an upgrade, a service of an older release runs on the migrated database. So a migration since release 0.1.0
// only adds: tables, columns, indexes, functions and triggers.

/** The SQL of the migrations that the program applies, by name. */
const currentMigrations = await readMigrations(new URL('../../prisma/migrations/', import.meta.url))
/** The SQL of the migrations of release 0.1.0, by name. */
const releasedMigrations = await readMigrations(RELEASED_MIGRATIONS)

/**
 * The beginnings of the allowed statements. `DROP INDEX` is not allowed: without the index, queries of the older
 * service can be too slow.
 */
const ADDITIONS = [
  /^CREATE TABLE /,
  /^CREATE INDEX /,
  /^CREATE FUNCTION /,
  /^CREATE TRIGGER /,
  // The column must be nullable or have a default: the INSERT statements of the older service omit the column.
  /^ALTER TABLE "\w+" ADD COLUMN "\w+" \w+(\(\d+\))?( NOT NULL DEFAULT [^,]+| DEFAULT [^,]+)?$/,
]

test('the migrations of 0.1.0 are unchanged', () => {
  expect(Object.keys(releasedMigrations)).not.toEqual([])
  expect(currentMigrations).toMatchObject(releasedMigrations)
})

test('every migration since 0.1.0 consists of additions only', () => {
  const laterMigrations = Object.entries(currentMigrations).filter(
    ([name]) => !(name in releasedMigrations),
  )
  expect(laterMigrations).not.toEqual([])
  for (const [name, sql] of laterMigrations) expect(findNonAdditions(sql), name).toEqual([])
})

describe('findNonAdditions', () => {
  test.each([
    'DROP TABLE "gap"',
    'DROP INDEX "session_logout_at_idx"',
    'DROP FUNCTION "notify_last_logout"()',
    'ALTER TABLE "tenant" DROP COLUMN "seq"',
    'ALTER TABLE "tenant" ADD COLUMN "a" TEXT, DROP COLUMN "seq"',
    'ALTER TABLE "tenant" RENAME COLUMN "seq" TO "position"',
    'ALTER TABLE "tenant" RENAME TO "tenants"',
    'ALTER TABLE "tenant" ALTER COLUMN "seq" TYPE TEXT',
    'ALTER TABLE "tenant" ALTER COLUMN "seq" SET DATA TYPE TEXT',
    'ALTER TABLE "session_logout" ALTER COLUMN "user_id" SET NOT NULL',
    'ALTER TABLE "tenant" ADD COLUMN "a" TEXT NOT NULL',
    'ALTER TABLE "tenant" ADD COLUMN "a" TEXT UNIQUE',
    'ALTER TABLE "tenant" ADD CONSTRAINT "a" CHECK ("seq" > 0)',
    'CREATE UNIQUE INDEX "a" ON "last_logout"("seq")',
    'CREATE OR REPLACE FUNCTION "notify_last_logout"() RETURNS trigger LANGUAGE sql AS $$ $$',
    'DELETE FROM "gap"',
    'UPDATE "last_logout" SET "seq" = 0',
    'TRUNCATE "gap"',
    '-- CreateIndex\nCREATE INDEX "a" ON "gap"("reason");\ndrop table "gap"',
  ])('findNonAdditions returns the one statement of %s that is not an addition', (sql) => {
    expect(findNonAdditions(`${sql};`)).toHaveLength(1)
  })

  test('findNonAdditions accepts the migrations of 0.1.0, except one unique index', () => {
    const exceptions = Object.values(releasedMigrations).flatMap(findNonAdditions)
    expect(exceptions).toEqual(['CREATE UNIQUE INDEX "gap_from_at_key" ON "gap"("from_at")'])
  })
})

/** Returns the statements that do not match {@link ADDITIONS}. */
function findNonAdditions(sql: string): string[] {
  // Comments and the bodies of functions can contain semicolons.
  const withoutComments = sql.replace(/^\s*--.*$/gm, '')
  const withoutBodies = withoutComments.replace(/\$\$[\s\S]*?\$\$/g, '')
  const statements = withoutBodies
    .split(';')
    .map((statement) => statement.trim().replace(/\s+/g, ' '))
  return statements.filter(
    (statement) => statement !== '' && !ADDITIONS.some((addition) => addition.test(statement)),
  )
}

/** Reads the SQL of each migration in a directory. Its keys are the names of the migrations. */
async function readMigrations(directory: URL): Promise<Record<string, string>> {
  const entries = await readdir(directory, { withFileTypes: true })
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  const read = async (name: string) =>
    [name, await readFile(new URL(`${name}/migration.sql`, directory), 'utf8')] as const
  return Object.fromEntries(await Promise.all(names.sort().map(read)))
}
