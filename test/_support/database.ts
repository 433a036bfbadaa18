import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'

/** A PostgreSQL database for one test file. */
export interface TestDatabase {
  name: string
  url: string
  query<Row extends pg.QueryResultRow>(sql: string, values?: unknown[]): Promise<Row[]>
  drop(): Promise<void>
}

/** Settings of {@link TestDatabase.query}, so that rows look the same if the server has other settings. */
const SESSION_OPTIONS = '-c timezone=UTC -c datestyle=ISO'

/**
 * Creates a database.
 *
 * @param template The database to copy. `migrated` has all tables. `template0` is empty. PostgreSQL copies a database
 *   only while no program is connected to it.
 */
export async function createTestDatabase(
  template: 'migrated' | 'template0' | TestDatabase = 'migrated',
): Promise<TestDatabase> {
  const source = typeof template === 'string' ? template : template.name
  const name = `test_${randomBytes(6).toString('hex')}`
  await runOnServer(`CREATE DATABASE ${name} TEMPLATE ${source}`)
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
      await runOnServer(`DROP DATABASE ${name} WITH (FORCE)`)
    },
  }
}

/**
 * Runs a statement that creates or drops a database. The lock lets one statement run at a time, because PostgreSQL does
 * not copy a template while another session uses the template.
 */
async function runOnServer(sql: string): Promise<void> {
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
