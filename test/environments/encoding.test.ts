import { randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import pg from 'pg'
import { afterEach, describe, expect, test } from 'vitest'
import type { PageToStore } from '../../src/rules/batch.js'
import { fold } from '../../src/rules/fold.js'
import { finishCommandLine } from '../_support/command-line.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { runService } from '../_support/running-service.js'
import { openTestStore } from '../_support/store.js'
import { openTenant, tenantEnv } from '../_support/tenant.js'
import { listedAsRefused, listedAsWorking } from './compatibility.js'

/*
 * `migrate` accepts only a database with the encoding UTF8. If PostgreSQL refuses a row of a page of Auth0's log, for
 * example because of the encoding, the store records its entry as unattributable and stores all other rows. An
 * unattributable entry may be a logout, but cannot be used.
 */

/** Functions that close what a test has opened. They run after each test, in reverse order. */
const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanups.splice(0).reverse()) await cleanUp()
})

/** Creates a database without tables. */
async function createEmptyDatabase(): Promise<TestDatabase> {
  const database = await createTestDatabase('template0')
  cleanups.push(database.drop)
  return database
}

/** Runs SQL in the database at this URL. */
async function runSql(url: string, sql: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await client.query(sql)
  } finally {
    await client.end()
  }
}

/** Creates an empty database with this encoding. Returns its URL. */
async function createDatabaseWithEncoding(encoding: string): Promise<string> {
  // CREATE DATABASE needs a connection to another database of the same server.
  const otherDatabase = await createEmptyDatabase()
  const name = `${encoding.toLowerCase()}_${randomBytes(6).toString('hex')}`
  const options = `LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`
  await otherDatabase.query(`CREATE DATABASE ${name} ENCODING '${encoding}' ${options}`)
  cleanups.push(() => otherDatabase.query(`DROP DATABASE ${name} WITH (FORCE)`))
  const url = new URL(otherDatabase.url)
  url.pathname = `/${name}`
  return url.href
}

describe.each(['LATIN1', 'SQL_ASCII'])('a database with the encoding %s', (encoding) => {
  test(
    'migrate refuses the database, creates no table, and prints the SQL for a database with UTF8',
    listedAsRefused(
      'PostgreSQL',
      'a database with the encoding LATIN1 or SQL_ASCII',
      '`migrate` exits with 2 and prints the SQL for a database with UTF8; `doctor` reports the same',
    ),
    async () => {
      const url = await createDatabaseWithEncoding(encoding)
      const env = { AUTH0_DOMAIN: 'tenant.example', DATABASE_URL: url }
      const { code, stdout, stderr } = await finishCommandLine(['migrate'], env)
      expect(code).toBe(2)
      expect(stdout).toBe('')
      expect(stderr).toMatch(
        new RegExp(`^last-logout: the database \\w+ has the encoding ${encoding}, .*\n$`),
      )
      const { rows } = await runSql(url, `SELECT FROM pg_tables WHERE schemaname = 'public'`)
      expect(rows).toEqual([])

      // The printed SQL works: `migrate` accepts the database that it creates.
      const [, sql = '', name = ''] = /(CREATE DATABASE "?(\w+)"? .*;)/.exec(stderr) ?? []
      await runSql(url, sql)
      cleanups.push(() => runSql(url, `DROP DATABASE ${name} WITH (FORCE)`))
      const utf8Url = new URL(url)
      utf8Url.pathname = `/${name}`
      const secondResult = await finishCommandLine(['migrate'], {
        ...env,
        DATABASE_URL: utf8Url.href,
      })
      expect(secondResult).toMatchObject({ code: 0, stderr: '' })
    },
  )

  test('doctor reports the encoding of the database as a failure', async () => {
    const url = await createDatabaseWithEncoding(encoding)
    const auth0 = await openTenant()
    cleanups.push(auth0.close)
    const env = { ...tenantEnv(auth0.simulator), DATABASE_URL: url }
    const { code, stdout } = await finishCommandLine(['doctor', '--json'], env)
    expect(code).toBe(1)
    expect(JSON.parse(stdout).checks).toContainEqual({
      name: 'database',
      status: 'failure',
      message: expect.stringMatching(`has the encoding ${encoding}, .* CREATE DATABASE .* 'UTF8'`),
    })
  })
})

/**
 * Builds a page of the log with one logout of each user. Every second logout has a session, beginning with the first
 * one.
 *
 * @param from The checkpoint, from which the page is read. `storePage` stores the page only if this is the stored
 *   checkpoint, and then moves the checkpoint to `next`: here `from` with a plus sign.
 */
function buildPage(from: string, userIds: string[]): PageToStore {
  const events = userIds.map((userId, index) => ({
    logId: `${from}-${index}`,
    type: 'slo',
    at: 1_000,
    userId,
    sessionId: index % 2 === 0 ? `${from}-s${index}` : null,
  }))
  const batch = { ...fold(events), unattributable: [] }
  return { from, next: `${from}+`, storedAt: 2_000, batch }
}

/** A row of an unattributable entry. */
interface UnattributableRow {
  id: string
  reason: string
  entry: string
}

const SELECT_UNATTRIBUTABLE = 'SELECT id, reason, entry FROM unattributable ORDER BY id'

/**
 * Creates a database with this encoding and all tables, without `migrate`, which would refuse the encoding. Returns its
 * URL.
 */
async function createDatabaseWithTables(encoding: string): Promise<string> {
  const url = await createDatabaseWithEncoding(encoding)
  const directory = new URL('../../prisma/migrations/', import.meta.url)
  const names = (await readdir(directory, { withFileTypes: true }))
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
  for (const name of names.sort()) {
    await runSql(url, await readFile(new URL(`${name}/migration.sql`, directory), 'utf8'))
  }
  return url
}

test('a read of a user id that the encoding cannot represent fails, but concurrent reads of other users succeed', async () => {
  const store = await openTestStore({ url: await createDatabaseWithTables('LATIN1') })
  cleanups.push(store.close)
  await store.setFirstCheckpoint('P0', null)
  await store.storePage(buildPage('P0', ['auth0|1']))
  const ids = ['auth0|1', 'auth0|Łukasz', 'auth0|2']
  const results = await Promise.allSettled(ids.map((id) => store.readKnownLogouts(id, null)))
  expect(results).toMatchObject([
    { value: { user: { at: 1_000 } } },
    // 22P05 is `untranslatable_character`: LATIN1 has no Ł.
    { reason: { code: '22P05' } },
    // This user has not logged out.
    { value: { user: null } },
  ])
})

test('an entry whose user id the encoding cannot represent is recorded as ASCII text, and the other entries are stored (pitfall 5)', async () => {
  const url = await createDatabaseWithTables('LATIN1')
  const store = await openTestStore({ url })
  cleanups.push(store.close)
  await store.setFirstCheckpoint('P0', null)
  // Almost a full page: a page has at most 100 entries.
  const otherUsers = Array.from({ length: 97 }, (_, n) => `auth0|${n}`)
  const refusedIndex = 40
  const page = buildPage('P0', otherUsers.toSpliced(refusedIndex, 0, 'auth0|Łukasz'))
  const unattributable = [{ logId: 'L', reason: 'no_subject', entry: '{"name":"Łukasz"}' }]
  await expect(
    store.storePage({ ...page, batch: { ...page.batch, unattributable } }),
  ).resolves.toBe(true)
  await expect(store.readProgress()).resolves.toMatchObject({ checkpoint: 'P0+' })
  const users = await runSql(url, 'SELECT user_id FROM last_logout')
  expect(users.rows.map(({ user_id }) => user_id).sort()).toEqual(otherUsers.sort())
  // `no_subject`: the entry names no user and no session. `not_storable`: PostgreSQL refuses its row.
  const { rows } = await runSql(url, SELECT_UNATTRIBUTABLE)
  expect(rows.map(({ reason }: UnattributableRow) => reason)).toEqual([
    'no_subject',
    'not_storable',
  ])
  const [noSubjectRow, notStorableRow] = rows as UnattributableRow[]
  // The stored JSON contains an escape in the place of the Ł.
  expect(noSubjectRow?.entry).toBe('{"name":"\\u0141ukasz"}')
  expect(JSON.parse(notStorableRow?.entry ?? '')).toMatchObject({
    userId: 'auth0|Łukasz',
    logId: `P0-${refusedIndex}`,
  })
})

describe('when PostgreSQL refuses a row', () => {
  /**
   * Makes the database refuse rows of users whose id begins with `bad`: a trigger refuses the rows of their sessions,
   * and a constraint refuses the rows of their last logouts.
   */
  const addRefusal = (database: TestDatabase) =>
    database.query(`
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'no'; END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON session_logout FOR EACH ROW
        WHEN (NEW.user_id LIKE 'bad%') EXECUTE FUNCTION refuse();
      ALTER TABLE last_logout ADD CHECK (user_id NOT LIKE 'bad%')`)

  /** Creates a database with all tables, until the end of the test. */
  async function createMigratedDatabase(): Promise<TestDatabase> {
    const database = await createTestDatabase()
    cleanups.push(database.drop)
    return database
  }

  test(
    'the store records each refused row once as unattributable, and stores all other rows of the page in order',
    listedAsWorking(
      'PostgreSQL',
      'a table that refuses a row',
      'the row is unattributable (`not_storable`), the others are stored',
    ),
    async () => {
      const database = await createMigratedDatabase()
      await addRefusal(database)
      const store = await openTestStore(database)
      cleanups.push(store.close)
      await store.setFirstCheckpoint('P0', null)
      const goodUsers = Array.from({ length: 20 }, (_, n) => `auth0|${n}`)
      const page = buildPage('P0', ['bad|first', ...goodUsers, 'bad|a', 'bad|b', 'bad|last'])
      await expect(store.storePage(page)).resolves.toBe(true)
      const users = await database.query<{ user_id: string; seq: string }>(
        'SELECT user_id, seq FROM last_logout ORDER BY seq',
      )
      expect(users.map(({ user_id }) => user_id)).toEqual(goodUsers)
      const sessions = await database.query<{ seq: string }>('SELECT seq FROM session_logout')
      // `seq` is the position of a row in the change feed, so it must be unique.
      const positions = [...users, ...sessions].map(({ seq }) => seq)
      expect(new Set(positions).size).toBe(positions.length)
      await expect(store.count()).resolves.toMatchObject({ unattributable: { not_storable: 4 } })

      // A search of the log finds the same entries again. The refused rows are not recorded again.
      await store.storeBatch(page.batch)
      await expect(store.count()).resolves.toMatchObject({ unattributable: { not_storable: 4 } })
    },
  )

  test('the service continues to read the log after PostgreSQL has refused a row, and logs no error', async () => {
    const database = await createMigratedDatabase()
    await addRefusal(database)
    const service = await runService({ DATABASE_URL: database.url })
    cleanups.push(service.close)
    service.logout('bad|user')
    service.logout('auth0|good')
    await service.waitForLogout('auth0|good')
    const rows = await database.query<UnattributableRow>(SELECT_UNATTRIBUTABLE)
    expect(rows).toMatchObject([{ reason: 'not_storable' }])
    await expect.poll(() => service.requestStatus('/health/fresh'), { timeout: 20_000 }).toBe(200)
    expect(service.countLines('error', /./)).toBe(0)
  })

  test('`forget` deletes the content of a refused entry, and storing the entry again does not restore the content', async () => {
    const database = await createMigratedDatabase()
    await addRefusal(database)
    const store = await openTestStore(database)
    cleanups.push(store.close)
    await store.setFirstCheckpoint('P0', null)
    const page = buildPage('P0', ['bad|Łukasz', 'auth0|good'])
    await store.storePage(page)
    await expect(store.count()).resolves.toMatchObject({ unattributable: { not_storable: 1 } })
    await expect(store.forget('bad|Łukasz')).resolves.toMatchObject({ entries: 1 })
    await store.storeBatch(page.batch)
    const entries = await database.query<{ entry: string }>('SELECT entry FROM unattributable')
    expect(entries).toEqual([{ entry: '' }])
  })

  test('while PostgreSQL refuses every row of a page, storing the page fails and the checkpoint does not move', async () => {
    const database = await createMigratedDatabase()
    await addRefusal(database)
    const store = await openTestStore(database)
    cleanups.push(store.close)
    await store.setFirstCheckpoint('P0', null)
    const page = buildPage('P0', ['bad|a', 'bad|b'])
    await expect(store.storePage(page)).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    await expect(store.readProgress()).resolves.toMatchObject({ checkpoint: 'P0' })
    // PostgreSQL has chosen the name of the constraint.
    await database.query(`
      DROP TRIGGER refuse ON session_logout;
      ALTER TABLE last_logout DROP CONSTRAINT last_logout_user_id_check`)
    // After the rows are no longer refused, the same page can be stored.
    await expect(store.storePage(page)).resolves.toBe(true)
    await expect(store.count()).resolves.toMatchObject({ users: 2, unattributable: {} })
  })

  test('POST /v1/logouts responds with 500 if PostgreSQL refuses the row, and no entry is recorded as unattributable', async () => {
    const database = await createMigratedDatabase()
    await addRefusal(database)
    const service = await runService({ DATABASE_URL: database.url })
    cleanups.push(service.close)
    expect(await service.reportLogout('bad|user')).toBe(500)
    expect(await database.query(SELECT_UNATTRIBUTABLE)).toEqual([])
  })

  test('storing a page fails if a table is missing, and no entry is recorded as unattributable', async () => {
    const database = await createMigratedDatabase()
    const store = await openTestStore(database)
    cleanups.push(store.close)
    await store.setFirstCheckpoint('P0', null)
    await database.query('DROP TABLE session_logout')
    await expect(store.storePage(buildPage('P0', ['auth0|1']))).rejects.toThrow(/session_logout/)
    expect(await database.query(SELECT_UNATTRIBUTABLE)).toEqual([])
    await expect(store.readProgress()).resolves.toMatchObject({ checkpoint: 'P0' })
  })
})
