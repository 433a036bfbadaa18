import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import { openClient } from '../_support/client.js'
import { finishCommandLine } from '../_support/command-line.js'
import { readExample } from '../_support/documents.js'
import { findUnusedPort } from '../_support/port.js'
import { startPostgres, type TestPostgres } from '../_support/postgres.js'
import { runShell } from '../_support/run-shell.js'
import { KEY, serveApi } from '../_support/served-api.js'
import { openTenant, tenantEnv } from '../_support/tenant.js'
import { WAIT } from '../_support/wait.js'
import { findPostgresVersion } from './postgres-versions.js'

// docs/operations.md contains the commands to back up and restore a database. The first test runs them: after the
// backup, the service stores more logouts, then the database is lost and restored from the backup. The service then
// reads again what it had read from the tenant log after the backup. What was only reported to its API after the backup
// stays lost.

const DOCUMENT = 'docs/operations.md'
/** Positions of the commands among the blocks of shell code in the section "Back up and restore". */
const BACK_UP = 0
const RESTORE = 1

/** Starts an empty server whose major version is that of `pg_dump`, because `pg_dump` refuses newer servers. */
async function startServer(): Promise<TestPostgres> {
  const { stdout } = await promisify(execFile)('pg_dump', ['--version'])
  const [, majorVersion] = /(\d+)\./.exec(stdout) ?? []
  const server = await startPostgres(
    {},
    { binaries: findPostgresVersion(Number(majorVersion)), isEmpty: true },
  )
  onTestFinished(() => server.remove())
  return server
}

/** Reads all rows of last-logout, by table. Excludes the tables of the job queue, which are in another schema. */
async function readAllRows(server: TestPostgres): Promise<Record<string, unknown[]>> {
  const tables = await server.query<{ name: string }>(
    "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY name",
  )
  const rows = tables.map(async ({ name }) => [
    name,
    await server.query(`SELECT * FROM "${name}" ORDER BY 1`),
  ])
  return Object.fromEntries(await Promise.all(rows))
}

/** Creates a directory for the backup. It is deleted after the test. */
async function createDirectory(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'backup-'))
  onTestFinished(() => rm(dir, { recursive: true }))
  return dir
}

/** Runs the documented commands {@link BACK_UP} or {@link RESTORE} in the directory of the backup. */
async function runDocumented(index: number, databaseUrl: string, cwd: string): Promise<void> {
  const code = await readExample(DOCUMENT, 'Back up and restore', 'sh', index)
  await runShell(`DATABASE_URL='${databaseUrl}'\n${code}`, { cwd })
}

test('the documented commands restore every row of the backup, and the next `sync` reads later logouts from the log again', async () => {
  const cwd = await createDirectory()
  const { tenant, simulator, close } = await openTenant()
  onTestFinished(close)
  const port = await findUnusedPort()
  const url = `http://127.0.0.1:${port}`
  const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }

  /** Runs a command of last-logout. Returns its output. */
  const runCommand = async (server: TestPostgres, ...args: string[]) => {
    const env = { ...tenantEnv(simulator), DATABASE_URL: server.url }
    const result = await finishCommandLine(args, env)
    expect(result.code, result.stderr).toBe(0)
    return result.stdout
  }
  /** Writes a logout to the tenant log, and reads it from there. */
  const logOut = async (server: TestPostgres, userId: string) => {
    tenant.write(buildEntry('slo', { userId, sessionId: `session of ${userId}` }))
    await runCommand(server, 'sync')
  }
  /** Reports a logout to the API. The tenant log does not contain it. */
  const reportLogout = async (userId: string) => {
    const body = JSON.stringify({ user_id: userId })
    expect((await fetch(`${url}/v1/logouts`, { method: 'POST', headers, body })).status).toBe(200)
  }
  /** Requests a page of the change feed. `cursor` is the position at its end. */
  const requestChanges = async (query: string) => {
    const response = await fetch(`${url}/v1/changes${query}`, { headers })
    const body = (await response.json()) as { cursor: string; changes: { user_id?: string }[] }
    return { status: response.status, body }
  }
  /**
   * Opens a client, which loads all last logouts. Returns a function that checks a token whose login was an hour ago,
   * and returns the outcome.
   */
  const openLoadedClient = async () => {
    const client = openClient(url)
    onTestFinished(client.close)
    await client.ready()
    const iat = Math.floor(Date.now() / 1000) - 3600
    return (sub: string) => client.checkNow({ sub, iat }).outcome
  }

  // Before the backup: three logouts and a floor, the instant that revokes all older logins.
  const original = await startServer()
  await runCommand(original, 'migrate')
  await logOut(original, 'auth0|before')
  const api = await serveApi(original, { PORT: port })
  await reportLogout('auth0|reported before')
  await logOut(original, 'auth0|forgotten')
  await runCommand(original, 'floor', 'raise', '2026-01-01T00:00:00Z')
  await runDocumented(BACK_UP, original.url, cwd)
  const rowsAtBackup = await readAllRows(original)
  expect(rowsAtBackup.last_logout).toHaveLength(3)

  // After the backup: further logouts, a later floor, and a person whose ids are replaced by hashes. A client is open.
  await logOut(original, 'auth0|after')
  await reportLogout('auth0|reported after')
  await runCommand(original, 'floor', 'raise', '2026-02-01T00:00:00Z')
  await runCommand(original, 'forget', 'auth0|forgotten')
  const outcomeOf = await openLoadedClient()
  expect(outcomeOf('auth0|after')).toBe('revoked')
  const { cursor: originalCursor } = (await requestChanges('')).body
  await api.close()
  await original.stop()

  // The restored database contains what the original database contained at the backup.
  const restored = await startServer()
  await runDocumented(RESTORE, restored.url, cwd)
  expect(await readAllRows(restored)).toEqual(rowsAtBackup)
  expect(await runCommand(restored, 'migrate')).toContain('up to date')
  const status = await runCommand(restored, 'status')
  expect(status).toContain('2026-01-01T00:00:00')
  const restoredApi = await serveApi(restored, { PORT: port })
  onTestFinished(restoredApi.close)
  // The restored database has not reached the position of this cursor. With 410, clients load everything again.
  expect(await requestChanges(`?after=${originalCursor}`)).toMatchObject({ status: 410 })

  await runCommand(restored, 'sync')
  // Now the cursor is valid: the restored database has passed its position, and both databases have the same id. The
  // changes that were read again come after it.
  const changesAfterSync = await requestChanges(`?after=${originalCursor}`)
  expect(changesAfterSync.status).toBe(200)
  expect(changesAfterSync.body.changes).toContainEqual(
    expect.objectContaining({ user_id: 'auth0|after' }),
  )
  const restoredOutcomeOf = await openLoadedClient()
  expect(restoredOutcomeOf('auth0|before')).toBe('revoked')
  expect(restoredOutcomeOf('auth0|reported before')).toBe('revoked')
  expect(restoredOutcomeOf('auth0|forgotten')).toBe('revoked')
  expect(restoredOutcomeOf('auth0|after')).toBe('revoked')
  // This logout is lost.
  expect(restoredOutcomeOf('auth0|reported after')).toBe('accepted')
  // The user was forgotten after the backup, so the restored database contains the id again.
  const { last_logout: restoredUsers = [] } = await readAllRows(restored)
  expect(restoredUsers).toContainEqual(expect.objectContaining({ user_id: 'auth0|forgotten' }))

  // The client that was opened before the restore follows the restored service.
  await logOut(restored, 'auth0|later')
  await expect.poll(() => outcomeOf('auth0|later'), WAIT).toBe('revoked')
  expect(outcomeOf('auth0|after')).toBe('revoked')
}, 60_000)

test('if the database has two users, the owner can back up and restore, and both users can then use the database', async () => {
  const cwd = await createDirectory()
  const sql = await readExample('docs/database.md', 'Two database users', 'sql')
  // The document names the database `app`. The database of the test server is `postgres`, and its user is `test`.
  const createUsers = sql.replaceAll('ON DATABASE app', 'ON DATABASE postgres')
  const urlOf = ({ url }: TestPostgres, user: string) => url.replace('//test@', `//${user}@`)
  /** Runs a command of last-logout with a connection of this database user. */
  const runAs = (user: string, server: TestPostgres, command: string) => {
    const DATABASE_URL = `${urlOf(server, user)}?schema=last_logout`
    return finishCommandLine([command], { AUTH0_DOMAIN: 'tenant.example', DATABASE_URL })
  }

  const original = await startServer()
  await original.query(createUsers)
  expect((await runAs('last_logout_owner', original, 'migrate')).code).toBe(0)
  await runDocumented(BACK_UP, urlOf(original, 'last_logout_owner'), cwd)

  const restored = await startServer()
  await restored.query(createUsers)
  await runDocumented(RESTORE, urlOf(restored, 'last_logout_owner'), cwd)
  expect((await runAs('last_logout_owner', restored, 'migrate')).stdout).toContain('up to date')
  expect(await runAs('last_logout', restored, 'status')).toMatchObject({ code: 0, stderr: '' })
})
