import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fold } from '../../src/rules/fold.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { readExample } from '../_support/documents.js'
import { KEY, serveApi } from '../_support/served-api.js'
import { CHECKPOINT, openTestStore } from '../_support/store.js'
import { DOMAIN } from '../_support/tenant.js'

const DOCUMENT = 'docs/resource-servers.md'
const HEADING = 'Other languages'
/** The instant of the logout. The login in the example of the document is a minute earlier. */
const LOGOUT_AT = 1_795_428_000_123
const SESSION = 'https://last-logout/session_id'
const MINUTE_MS = 60_000

let database: TestDatabase
let store: Awaited<ReturnType<typeof openTestStore>>
let api: Awaited<ReturnType<typeof serveApi>>
beforeAll(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database, { domain: DOMAIN })
  const slo = { logId: 'L', type: 'slo', at: LOGOUT_AT, userId: 'auth0|123', sessionId: 'S1' }
  await store.storeBatch({ ...fold([slo]), unattributable: [] })
  await store.begin(CHECKPOINT, null)
  api = await serveApi(database)
})
afterAll(async () => {
  await api.close()
  await store.close()
  await database.drop()
})

/** Sends the same request as curl would send for a command line of a document. */
function sendAsCurl(line: string): Promise<Response> {
  const [, path = ''] = /127\.0\.0\.1:8080(\S+)/.exec(line) ?? []
  const headers = [...line.matchAll(/-H '(.*?): (.*?)'/g)].map(
    ([, name = '', value = '']): [string, string] => [name, value.replace('<key>', KEY)],
  )
  const query = [...line.matchAll(/--data-urlencode '(.*?)=(.*?)'/g)].map(
    ([, name, value = '']) => `${name}=${encodeURIComponent(value)}`,
  )
  const [, body] = /-d '(.*)'/.exec(line) ?? []
  const url = `${api.url}${path}${query.length > 0 ? `?${query.join('&')}` : ''}`
  return fetch(url, body === undefined ? { headers } : { method: 'POST', headers, body })
}

test('the documented curl request for a check returns the verdict', async () => {
  const response = await sendAsCurl(await readExample(DOCUMENT, HEADING, 'sh'))
  expect(response.status).toBe(200)
  expect(await response.json()).toEqual({
    revoked: true,
    reason: 'session_ended',
    last_logout_at: '2026-11-23T10:00:00.123Z',
    login_at: '2026-11-23T09:59:00.000Z',
    as_of: null,
  })
})

test('the documented curl requests for a last logout and a report return the state', async () => {
  const [read = '', report = ''] = (await readExample('docs/api.md', 'Requests', 'sh')).split('\n')
  const response = await sendAsCurl(read)
  expect(response.status).toBe(200)
  expect(await response.json()).toMatchObject({
    user_id: 'auth0|123',
    last_logout_at: '2026-11-23T10:00:00.123Z',
    session: { session_id: 'S1', logout_at: '2026-11-23T10:00:00.123Z', ended: true },
  })
  // The other tests need the logout of this user unchanged.
  const other = report.replace('auth0|123', 'auth0|reported')
  const reported = await sendAsCurl(other)
  expect(reported.status).toBe(200)
  expect(await reported.json()).toMatchObject({
    user_id: 'auth0|reported',
    all_sessions_at: expect.any(String),
  })
})

test.each(['python', 'go', 'java'])(
  'the example in %s contains the path, the header and the claims of a check',
  async (language) => {
    const code = await readExample(DOCUMENT, HEADING, language)
    for (const part of ['/v1/check', 'Authorization', '"Bearer "', '"claims"']) {
      expect(code).toContain(part)
    }
  },
)

const python = spawnSync('python3', ['--version'])
const skip = python.error ? 'no python3 in the PATH' : null

describe.skipIf(skip !== null)(`the example in Python${skip === null ? '' : ` (${skip})`}`, () => {
  let directory: string
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'last-logout-python-'))
    await writeFile(
      join(directory, 'last_logout.py'),
      await readExample(DOCUMENT, HEADING, 'python'),
    )
  })
  afterAll(() => rm(directory, { recursive: true }))

  async function check(claims: object, env: Record<string, string> = {}): Promise<string> {
    const program =
      'import json, sys, last_logout; print(last_logout.check(json.loads(sys.argv[1])))'
    const { stdout } = await promisify(execFile)(
      'python3',
      ['-c', program, JSON.stringify(claims)],
      {
        cwd: directory,
        env: {
          PATH: process.env.PATH,
          LAST_LOGOUT_URL: api.url,
          LAST_LOGOUT_API_KEY: KEY,
          ...env,
        },
      },
    )
    return stdout.trim()
  }
  const claims = (sessionId: string, iat: number) => ({
    sub: 'auth0|123',
    iat,
    [SESSION]: sessionId,
  })
  const loginBefore = LOGOUT_AT / 1000 - 60

  test('the example in Python returns revoked even if the data is stale', async () => {
    expect(await check(claims('S1', loginBefore))).toBe('revoked')
  })

  test('the example in Python returns accepted only while the data is fresh, except for machine tokens', async () => {
    expect(await check(claims('S2', loginBefore))).toBe('unknown')
    await store.storeCaughtUp(CHECKPOINT, Date.now() - 6 * MINUTE_MS)
    expect(await check(claims('S2', loginBefore))).toBe('unknown')
    expect(await check({ sub: 'app@clients', iat: loginBefore })).toBe('accepted')
    await store.storeCaughtUp(CHECKPOINT, Date.now() - MINUTE_MS)
    expect(await check(claims('S2', loginBefore))).toBe('accepted')
  })

  test.each([
    ['the service is unreachable', { LAST_LOGOUT_URL: 'http://127.0.0.1:1' }],
    ['the service rejects the key', { LAST_LOGOUT_API_KEY: 'x'.repeat(32) }],
  ])('the example in Python returns unknown if %s', async (_what, env) => {
    expect(await check(claims('S1', loginBefore), env)).toBe('unknown')
  })
})
