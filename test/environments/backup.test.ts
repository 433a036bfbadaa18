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

const DOCUMENT = 'docs/operations.md'

/** Starts a server whose major version is that of `pg_dump`, which refuses newer servers. */
async function startServer(): Promise<TestPostgres> {
  const { stdout } = await promisify(execFile)('pg_dump', ['--version'])
  const [, major] = /(\d+)\./.exec(stdout) ?? []
  const server = await startPostgres(
    {},
    { binaries: findPostgresVersion(Number(major)), isEmpty: true },
  )
  onTestFinished(() => server.remove())
  return server
}

/** Reads all rows of all tables of last-logout. The queue has its own schema. */
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

async function createDirectory(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'backup-'))
  onTestFinished(() => rm(dir, { recursive: true }))
  return dir
}

/** Runs the commands that back up (0) or restore (1) a database. */
async function runExample(index: number, databaseUrl: string, cwd: string): Promise<void> {
  const code = await readExample(DOCUMENT, 'Back up and restore', 'sh', index)
  await runShell(`DATABASE_URL='${databaseUrl}'\n${code}`, { cwd })
}

test('the commands restore every row, and the log restores what was read after the backup', async () => {
  const cwd = await createDirectory()
  const { tenant, simulator, close } = await openTenant()
  onTestFinished(close)
  const port = await findUnusedPort()
  const url = `http://127.0.0.1:${port}`
  const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }

  const runCommand = async (server: TestPostgres, ...args: string[]) => {
    const env = { ...tenantEnv(simulator), DATABASE_URL: server.url }
    const result = await finishCommandLine(args, env)
    expect(result.code, result.stderr).toBe(0)
    return result.stdout
  }
  const runBlock = (index: number, { url }: TestPostgres) => runExample(index, url, cwd)
  const logOut = async (server: TestPostgres, userId: string) => {
    tenant.write(buildEntry('slo', { userId, sessionId: `session of ${userId}` }))
    await runCommand(server, 'sync')
  }
  const report = async (userId: string) => {
    const body = JSON.stringify({ user_id: userId })
    expect((await fetch(`${url}/v1/logouts`, { method: 'POST', headers, body })).status).toBe(200)
  }
  const requestChanges = async (query: string) => {
    const response = await fetch(`${url}/v1/changes${query}`, { headers })
    const body = (await response.json()) as { cursor: string; changes: { user_id?: string }[] }
    return { status: response.status, body }
  }
  const openLoadedClient = async () => {
    const client = openClient(url)
    onTestFinished(client.close)
    await client.ready()
    const iat = Math.floor(Date.now() / 1000) - 3600
    return (sub: string) => client.checkNow({ sub, iat }).outcome
  }

  const original = await startServer()
  await runCommand(original, 'migrate')
  await logOut(original, 'auth0|before')
  const api = await serveApi(original, { PORT: port })
  await report('auth0|reported before')
  await logOut(original, 'auth0|forgotten')
  await runCommand(original, 'floor', 'raise', '2026-01-01T00:00:00Z')
  await runBlock(0, original)
  const rows = await readAllRows(original)
  expect(rows.last_logout).toHaveLength(3)

  await logOut(original, 'auth0|after')
  await report('auth0|reported after')
  await runCommand(original, 'floor', 'raise', '2026-02-01T00:00:00Z')
  await runCommand(original, 'forget', 'auth0|forgotten')
  const outcomeOf = await openLoadedClient()
  expect(outcomeOf('auth0|after')).toBe('revoked')
  const { cursor } = (await requestChanges('')).body
  await api.close()
  await original.stop()

  const restored = await startServer()
  await runBlock(1, restored)
  expect(await readAllRows(restored)).toEqual(rows)
  expect(await runCommand(restored, 'migrate')).toContain('up to date')
  const status = await runCommand(restored, 'status')
  expect(status).toContain('2026-01-01T00:00:00')
  const restoredApi = await serveApi(restored, { PORT: port })
  onTestFinished(restoredApi.close)
  expect(await requestChanges(`?after=${cursor}`)).toMatchObject({ status: 410 })

  await runCommand(restored, 'sync')
  // Now the cursor is valid, because both databases have the same id. Changes have later positions than the cursor.
  const { status: statusOfChanges, body } = await requestChanges(`?after=${cursor}`)
  expect(statusOfChanges).toBe(200)
  expect(body.changes).toContainEqual(expect.objectContaining({ user_id: 'auth0|after' }))
  const outcomeOfRestored = await openLoadedClient()
  const outcomes = ['before', 'reported before', 'forgotten', 'after', 'reported after'].map(
    (name) => [name, outcomeOfRestored(`auth0|${name}`)],
  )
  expect(Object.fromEntries(outcomes)).toEqual({
    before: 'revoked',
    'reported before': 'revoked',
    forgotten: 'revoked',
    after: 'revoked',
    'reported after': 'accepted',
  })
  const { last_logout: users = [] } = await readAllRows(restored)
  expect(users).toContainEqual(expect.objectContaining({ user_id: 'auth0|forgotten' }))

  // The client that was connected before continues with the restored service.
  await logOut(restored, 'auth0|later')
  await expect.poll(() => outcomeOf('auth0|later'), WAIT).toBe('revoked')
  expect(outcomeOf('auth0|after')).toBe('revoked')
}, 60_000)

test('the commands work as the owner, if the database has two users', async () => {
  const cwd = await createDirectory()
  const sql = await readExample('docs/database.md', 'Two database users', 'sql')
  const createUsers = sql.replaceAll('ON DATABASE app', 'ON DATABASE postgres')
  const urlOf = ({ url }: TestPostgres, user: string) => url.replace('//test@', `//${user}@`)
  const runAs = (user: string, server: TestPostgres, command: string) => {
    const DATABASE_URL = `${urlOf(server, user)}?schema=last_logout`
    return finishCommandLine([command], { AUTH0_DOMAIN: 'tenant.example', DATABASE_URL })
  }

  const original = await startServer()
  await original.query(createUsers)
  expect((await runAs('last_logout_owner', original, 'migrate')).code).toBe(0)
  await runExample(0, urlOf(original, 'last_logout_owner'), cwd)

  const restored = await startServer()
  await restored.query(createUsers)
  await runExample(1, urlOf(restored, 'last_logout_owner'), cwd)
  expect((await runAs('last_logout_owner', restored, 'migrate')).stdout).toContain('up to date')
  expect(await runAs('last_logout', restored, 'status')).toMatchObject({ code: 0, stderr: '' })
})
