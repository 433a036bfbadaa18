import { randomBytes } from 'node:crypto'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { startPgBouncer } from '../_support/pgbouncer.js'
import { startPostgres } from '../_support/postgres.js'

/** A database with settings that apply to every session. */
export interface ServerWithSettings {
  /** `DATABASE_URL`, and `DATABASE_DIRECT_URL` if `DATABASE_URL` leads to a pooler. */
  env: { DATABASE_URL: string; DATABASE_DIRECT_URL?: string }
  close(): Promise<void>
}

/** Run-time parameters of every session. */
type Settings = Partial<Record<'timezone' | 'datestyle', string>>

/** The servers of the tests. Each has a name, settings, and a function that opens a database with these settings. */
export const SERVERS: [
  name: string,
  server: { settings: Settings; open(settings: Settings): Promise<ServerWithSettings> },
][] = [
  ['default settings', { settings: {}, open: inDatabase }],
  [
    'America/New_York in postgresql.conf',
    { settings: { timezone: 'America/New_York' }, open: inServer },
  ],
  [
    'Asia/Kolkata and DateStyle German of the database',
    { settings: { timezone: 'Asia/Kolkata', datestyle: 'German, DMY' }, open: inDatabase },
  ],
  ['Europe/Berlin of the database', { settings: { timezone: 'Europe/Berlin' }, open: inDatabase }],
  ['Europe/London of the database', { settings: { timezone: 'Europe/London' }, open: inDatabase }],
  ['DateStyle SQL, DMY of the database', { settings: { datestyle: 'SQL, DMY' }, open: inDatabase }],
  ['America/New_York of the role', { settings: { timezone: 'America/New_York' }, open: inRole }],
  [
    'America/New_York of the database behind PgBouncer',
    { settings: { timezone: 'America/New_York' }, open: behindPooler },
  ],
]

async function inServer(settings: Settings): Promise<ServerWithSettings> {
  const server = await startPostgres({ ...settings })
  return { env: { DATABASE_URL: server.url }, close: server.remove }
}

async function inDatabase(settings: Settings): Promise<ServerWithSettings> {
  const database = await createTestDatabase('template0')
  await setParameters(database, `DATABASE ${database.name}`, settings)
  return { env: { DATABASE_URL: database.url }, close: database.drop }
}

async function inRole(settings: Settings): Promise<ServerWithSettings> {
  const database = await createTestDatabase('template0')
  const role = `role_${randomBytes(6).toString('hex')}`
  await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'test'`)
  await database.query(`ALTER DATABASE ${database.name} OWNER TO ${role}`)
  await setParameters(database, `ROLE ${role}`, settings)
  const url = new URL(database.url)
  Object.assign(url, { username: role, password: 'test' })
  return { env: { DATABASE_URL: url.href }, close: database.drop }
}

async function behindPooler(settings: Settings): Promise<ServerWithSettings> {
  const database = await inDatabase(settings)
  const pooler = await startPgBouncer(database.env.DATABASE_URL)
  return {
    env: { DATABASE_URL: pooler.url, DATABASE_DIRECT_URL: database.env.DATABASE_URL },
    async close() {
      await pooler.close()
      await database.close()
    },
  }
}

async function setParameters(
  { query }: TestDatabase,
  object: string,
  settings: Settings,
): Promise<void> {
  for (const [name, value] of Object.entries(settings)) {
    // PostgreSQL stores the values of a list separately, so each value has its own quotes.
    const values = value.split(', ').map((part: string) => `'${part}'`)
    await query(`ALTER ${object} SET ${name} = ${values.join(', ')}`)
  }
}
