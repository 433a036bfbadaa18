import { createTestDatabase } from '../_support/database.js'
import { startPgBouncer } from '../_support/pgbouncer.js'
import { startPostgres } from '../_support/postgres.js'
import { createOwnedDatabase } from './roles.js'

/** A database with settings that apply to every session. */
export interface ServerWithSettings {
  /** `DATABASE_URL`, and `DATABASE_DIRECT_URL` if `DATABASE_URL` leads to a pooler. */
  env: { DATABASE_URL: string; DATABASE_DIRECT_URL?: string }
  close(): Promise<void>
}

/** Run-time parameters of every session. */
type Settings = Partial<Record<'timezone' | 'datestyle', string>>

/**
 * The servers on which the tests run. The tests expect the same behavior with each time zone and each format of dates.
 * `open` opens a database with these settings.
 */
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

/** Starts a server with these settings in postgresql.conf. */
async function inServer(settings: Settings): Promise<ServerWithSettings> {
  const server = await startPostgres({ ...settings })
  return { env: { DATABASE_URL: server.url }, close: server.remove }
}

/** Creates a database with these settings. */
async function inDatabase(settings: Settings): Promise<ServerWithSettings> {
  const database = await createTestDatabase('template0')
  for (const [name, value] of Object.entries(toSqlValues(settings))) {
    await database.query(`ALTER DATABASE ${database.name} SET ${name} = ${value}`)
  }
  return { env: { DATABASE_URL: database.url }, close: database.drop }
}

/** Creates a database whose owner is a role with these settings. */
async function inRole(settings: Settings): Promise<ServerWithSettings> {
  const { url, drop } = await createOwnedDatabase(toSqlValues(settings))
  return { env: { DATABASE_URL: url }, close: drop }
}

/** Creates a database with these settings, and a pooler in front of it. */
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

/** Quotes the values. A value that is a list, such as `SQL, DMY`, needs quotes around each of its parts. */
function toSqlValues(settings: Settings): Record<string, string> {
  const quote = (value: string) =>
    value
      .split(', ')
      .map((part) => `'${part}'`)
      .join(', ')
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, quote(value)]))
}
