import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fold } from '../../src/rules/fold.js'
import { finishCommandLine } from '../_support/command-line.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { readExample } from '../_support/documents.js'
import { openTestStore, readRows } from '../_support/store.js'

const USER = 'auth0|forgotten'
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const iso = (at: number) => new Date(at).toISOString()

let database: TestDatabase
let env: Record<string, string>
beforeEach(async () => {
  database = await createTestDatabase()
  env = { AUTH0_DOMAIN: 'tenant.example', DATABASE_URL: database.url }
})
afterEach(() => database.drop())

const run = (...args: string[]) => finishCommandLine(args, env)

/** Stores a logout of the user with a session, and an entry that cannot be used (unattributable) and contains the user id. */
async function logOut(at: number): Promise<void> {
  const store = await openTestStore(database)
  const event = { logId: 'L1', type: 'slo', at, userId: USER, sessionId: 'S1' }
  await store.storeBatch({
    ...fold([event]),
    unattributable: [{ logId: 'U1', reason: 'no_instant', entry: `{"user_id":"${USER}"}` }],
  })
  await store.close()
}

/** The command `forget` replaces the ids of a person by keyed hashes. The tokens of the person stay revoked. */
describe('forget', () => {
  test('forget prints which ids were replaced, which rows remain, and how long these rows are kept', async () => {
    const at = Date.now() - 2 * DAY_MS
    await logOut(at)
    const { code, stdout } = await run('forget', USER)
    expect(code).toBe(0)
    expect(stdout).toContain(
      'the ids in 1 last logout and 1 session logout. Deleted: 1 unattributable entry.',
    )
    expect(stdout).toContain(`a last logout, ${iso(at)}, and 1 session logout. Tokens from`)
    // The defaults of MAX_REFRESH_AGE (30 days) and MAX_TOKEN_AGE (1 day) together are 31 days.
    expect(stdout).toContain(`deletes them after ${iso(at + 31 * DAY_MS)} (MAX_REFRESH_AGE`)
    expect(stdout).toContain('delete the user there first')
    expect(stdout).not.toContain('0.1.0')
    const { users, sessions } = await readRows(database)
    expect(users).toMatchObject([{ userId: expect.stringMatching(/^[0-9a-f]{64}$/), at }])
    expect(sessions).toMatchObject([{ userId: users[0]?.userId, at, ended: true }])
    expect(await database.query("SELECT FROM unattributable WHERE entry <> ''")).toEqual([])
  })

  test('forget prints what docs/cli.md shows, except for the instants', async () => {
    const at = Date.now() - 2 * DAY_MS
    const store = await openTestStore(database)
    const events = ['phone', 'laptop'].map((sessionId) => {
      return { logId: sessionId, type: 'slo', at, userId: USER, sessionId }
    })
    await store.storeBatch({ ...fold(events), unattributable: [] })
    await store.close()
    const example = await readExample('docs/cli.md', 'forget', '')
    // The example contains two instants: of the logout, and of the deletion.
    const [shownAt = '', shownUntil = ''] = example.match(/2026-\S+Z/g) ?? []
    expect(Date.parse(shownUntil) - Date.parse(shownAt)).toBe(31 * DAY_MS)
    const expected = example.replace(shownAt, iso(at)).replace(shownUntil, iso(at + 31 * DAY_MS))
    expect((await run('forget', USER)).stdout).toContain(expected)
  })

  test('forget logs that a person was forgotten, and neither logs nor prints the id', async () => {
    await logOut(Date.now())
    const { stdout, stderr } = await run('forget', USER)
    expect(JSON.parse(stderr)).toMatchObject({
      msg: 'person forgotten',
      users: 1,
      sessions: 1,
      entries: 1,
      until: expect.stringMatching(/Z$/),
    })
    expect(stdout + stderr).not.toContain(USER)
  })

  test('forget - reads the id from standard input, so that the shell history does not contain the id', async () => {
    await logOut(Date.now())
    const { code, stdout } = await finishCommandLine(['forget', '-'], env, { input: `${USER}\n` })
    expect(code).toBe(0)
    expect(stdout).toContain('1 last logout and 1 session logout')
  })

  test('forget - ignores white space around the id', async () => {
    await logOut(Date.now())
    const input = `\uFEFF  ${USER}\t \r\n\n`
    const { code, stdout } = await finishCommandLine(['forget', '-'], env, { input })
    expect(code).toBe(0)
    expect(stdout).toContain('1 last logout and 1 session logout')
  })

  test('forget - rejects an input of several lines or of too many characters with exit code 2, and does not print it', async () => {
    for (const input of [`${USER}\nauth0|other\n`, `${USER}${' '.repeat(1_001)}x`]) {
      const { code, stdout, stderr } = await finishCommandLine(['forget', '-'], env, { input })
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
      expect(stderr).toContain('user id is invalid: it must be one line')
      expect(stderr).not.toContain('auth0|')
    }
  })

  test('forget logs its audit record at every LOG_LEVEL', async () => {
    await logOut(Date.now())
    env.LOG_LEVEL = 'silent'
    const { stderr } = await run('forget', USER)
    expect(JSON.parse(stderr)).toMatchObject({ level: 30, part: 'forget', msg: 'person forgotten' })
  })

  test('forget logs that the person was not found if nothing is stored', async () => {
    const { code, stderr } = await run('forget', USER)
    expect(code).toBe(0)
    expect(JSON.parse(stderr)).toMatchObject({ msg: 'person not found', users: 0, until: null })
  })

  test('forget computes how long the rows remain from MAX_TOKEN_AGE and MAX_REFRESH_AGE', async () => {
    const at = Date.now()
    await logOut(at)
    Object.assign(env, { MAX_TOKEN_AGE: '1h', MAX_REFRESH_AGE: '7d' })
    const { stdout } = await run('forget', USER)
    expect(stdout).toContain(iso(at + 7 * DAY_MS + HOUR_MS))
    expect(stdout).toMatch(/release 0\.1\.0 that starts before/)
    expect(stdout).toContain(iso(at + HOUR_MS))
  })

  test('forget prints that the rows are deleted within an hour if no token from before the logout can be valid', async () => {
    await logOut(Date.now() - 32 * DAY_MS)
    expect((await run('forget', USER)).stdout).toContain('The worker deletes them within an hour (')
  })

  test('a second forget of the same person changes nothing, and prints the same remaining rows', async () => {
    await logOut(Date.now() - 2 * DAY_MS)
    const first = await run('forget', USER)
    const before = await readRows(database)
    const second = await run('forget', USER)
    expect(second.code).toBe(0)
    expect(second.stdout).toMatch(/^No id of this person is stored\.$/m)
    const remainingRows = /^What remains[\s\S]*/m
    expect(remainingRows.exec(second.stdout)?.[0]).toBe(remainingRows.exec(first.stdout)?.[0])
    expect(await readRows(database)).toEqual(before)
  })

  test('forget of an unknown person prints the instant up to which the log has been read', async () => {
    const { code, stdout } = await run('forget', USER)
    expect(code).toBe(0)
    expect(stdout).toMatch(
      /^Nothing remains of this person\. The log has not been read to its end/m,
    )
    expect(stdout).not.toContain('Quote the id')
    const store = await openTestStore(database)
    await store.setFirstCheckpoint('P0', null)
    await store.storeCaughtUp('P0', Date.now())
    await store.close()
    expect((await run('forget', USER)).stdout).toMatch(/read up to \d{4}-\S+Z: run this command/)
  })

  test('forget of an id that the shell has cut off prints how to quote the id', async () => {
    expect((await run('forget', 'auth0')).stdout).toContain("last-logout forget 'auth0|123'")
  })

  test.each([
    ['an id that is too long', ['a'.repeat(801)], /user id is invalid/],
    ['an empty id', [''], /user id is invalid/],
    ['a line break in the id', ['auth0|1\n'], /user id is invalid/],
    ['a control character in the id', ['auth0|1\u0007'], /user id is invalid/],
    ['no id', [], /missing required argument/],
  ])('forget with %s exits with 2', async (_case, args, expected) => {
    const { code, stdout, stderr } = await run('forget', ...args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(expected)
  })

  test('forget exits with 1 if the database is unavailable', async () => {
    env.DATABASE_URL = 'postgres://localhost:1/none'
    const { code, stderr } = await run('forget', USER)
    expect(code).toBe(1)
    expect(stderr).not.toContain(USER)
  })

  test('forget --help advises to delete the user in Auth0 first', async () => {
    const { code, stdout } = await run('forget', '--help')
    expect(code).toBe(0)
    expect(stdout).toMatch(/Usage: last-logout forget [\s\S]*Delete the user in Auth0 first/)
  })
})
