import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'

/** A database of a test's own. */
export interface TestDatabase {
  name: string
  url: string
  query<Row extends pg.QueryResultRow>(sql: string, values?: unknown[]): Promise<Row[]>
  drop(): Promise<void>
}

/** What a test itself reads and writes is in UTC and ISO 8601, whatever the server's settings are. */
const READABLE = '-c timezone=UTC -c datestyle=ISO'

/** Makes a database: a copy of the migrated one, of a test's that nobody is connected to, or an empty one. */
export async function createTestDatabase(
  template: 'migrated' | 'template0' | TestDatabase = 'migrated',
): Promise<TestDatabase> {
  const source = typeof template === 'string' ? template : template.name
  const name = `test_${randomBytes(6).toString('hex')}`
  await onServer(`CREATE DATABASE ${name} TEMPLATE ${source}`)
  const url = new URL(serverUrl())
  url.pathname = `/${name}`
  const pool = new pg.Pool({ connectionString: url.href, max: 2, options: READABLE })
  // Dropping the database ends connections that are on their way out.
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

/** One at a time: PostgreSQL copies a template only while nobody else does. */
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

/** Without it `pg` would connect to whatever server runs on its default port. */
function serverUrl(): string {
  const url = inject('postgresUrl') as string | undefined
  if (url !== undefined) return url
  throw new Error('this project has no PostgreSQL: take the file out of UNIT in vitest.config.ts')
}
