import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'

/** A database for one test file. */
export interface TestDatabase {
  name: string
  url: string
  query<Row extends pg.QueryResultRow>(sql: string, values?: unknown[]): Promise<Row[]>
  drop(): Promise<void>
}

/** Tests read and write dates in UTC and ISO 8601, independent of the server's settings. */
const SESSION_OPTIONS = '-c timezone=UTC -c datestyle=ISO'

/** Creates a database: a copy of the migrated one, an empty one, or a copy of another test database without connections. */
export async function createTestDatabase(
  template: 'migrated' | 'template0' | TestDatabase = 'migrated',
): Promise<TestDatabase> {
  const source = typeof template === 'string' ? template : template.name
  const name = `test_${randomBytes(6).toString('hex')}`
  await onServer(`CREATE DATABASE ${name} TEMPLATE ${source}`)
  const url = new URL(serverUrl())
  url.pathname = `/${name}`
  const pool = new pg.Pool({ connectionString: url.href, max: 2, options: SESSION_OPTIONS })
  // Dropping the database terminates connections that are still closing.
  pool.on('error', () => {})
  return {
    name,
    url: url.href,
    query: async (sql, values) => (await pool.query(sql, values)).rows,
    async drop() {
      await pool.end()
      await onServer(`DROP DATABASE ${name} WITH (FORCE)`)
    },
  }
}

/** Runs one statement at a time: PostgreSQL copies a template only while no other session uses it. */
async function onServer(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: serverUrl() })
  await client.connect()
  try {
    await client.query('SELECT pg_advisory_lock(1)')
    await client.query(sql)
  } finally {
    await client.end()
  }
}

/** Throws instead of returning `undefined`, with which `pg` would connect to a server on its default port. */
function serverUrl(): string {
  const url = inject('postgresUrl') as string | undefined
  if (url !== undefined) return url
  throw new Error('this project has no PostgreSQL: take the file out of UNIT in vitest.config.ts')
}
