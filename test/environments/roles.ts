import { randomBytes } from 'node:crypto'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'

/** A role of PostgreSQL for one test. */
interface TestRole {
  name: string
  /** URL of the database, with this role as user. */
  url: string
  drop(): Promise<void>
}

/** An empty database and its owner. */
export interface OwnedDatabase {
  database: TestDatabase
  /** The URL of the database, with the owner as user. */
  url: string
  drop(): Promise<void>
}

/** Creates a role without privileges. */
async function createRole(database: TestDatabase): Promise<TestRole> {
  const name = `role_${randomBytes(6).toString('hex')}`
  await database.query(`CREATE ROLE ${name} LOGIN PASSWORD 'test'`)
  const url = new URL(database.url)
  Object.assign(url, { username: name, password: 'test' })
  return {
    name,
    url: url.href,
    async drop() {
      // PostgreSQL does not drop a role that owns objects.
      await database.query(`DROP OWNED BY ${name} CASCADE`)
      await database.query(`DROP ROLE ${name}`)
    },
  }
}

/**
 * Creates an empty database with its own owner.
 *
 * @param settings Run-time parameters for the sessions of the owner, such as `search_path`. Each value is SQL.
 */
export async function createOwnedDatabase(
  settings: Record<string, string> = {},
): Promise<OwnedDatabase> {
  const database = await createTestDatabase('template0')
  const role = await createRole(database)
  await database.query(`ALTER DATABASE ${database.name} OWNER TO ${role.name}`)
  for (const [name, value] of Object.entries(settings)) {
    await database.query(`ALTER ROLE ${role.name} SET ${name} = ${value}`)
  }
  return {
    database,
    url: role.url,
    async drop() {
      await database.query(`ALTER DATABASE ${database.name} OWNER TO CURRENT_USER`)
      await role.drop()
      await database.drop()
    },
  }
}

/** Sets the parameter `schema` of a database URL. */
export function withSchema(databaseUrl: string, schema: string): string {
  const url = new URL(databaseUrl)
  url.searchParams.set('schema', schema)
  return url.href
}
