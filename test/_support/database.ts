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

/** Settings of the sessions of {@link TestDatabase.query}. The server can have other settings. */
const SESSION_OPTIONS = '-c timezone=UTC -c datestyle=ISO'

/**
 * Creates a database.
 *
 * @param template `migrated`: the database has all tables. `template0`: the database is empty. A test database: the
 *   database is a copy of this test database, to which nothing may be connected.
 */
export async function createTestDatabase(
  template: 'migrated' | 'template0' | TestDatabase = 'migrated',
): Promise<TestDatabase> {
  const source = typeof template === 'string' ? template : template.name
  const name = `test_${randomBytes(6).toString('hex')}`
  await onServer(`CREATE DATABASE ${name} TEMPLATE ${source}`)
  const url = new URL(serverUrl())
  url.pathname = `/${name}`
  const pool = new pg.Pool({ connectionString: url.href, max: 2, options: SESSION_OPTIONS })
  // `drop` terminates open connections. Without a listener, their errors would end the process.
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

/**
 * Runs a statement outside of the test databases, one at a time: PostgreSQL does not copy a template while another
 * session uses the template.
 */
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

/** Returns the URL of the PostgreSQL server. Throws if the Vitest project has no server. */
function serverUrl(): string {
  const url = inject('postgresUrl') as string | undefined
  if (url !== undefined) return url
  throw new Error('this project has no PostgreSQL: take the file out of UNIT in vitest.config.ts')
}
