import { afterAll, beforeAll, expect, test } from 'vitest'
import { fold } from '../../src/rules/fold.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { readExample } from '../_support/documents.js'
import { KEY, serveApi } from '../_support/served-api.js'
import { CHECKPOINT, openTestStore } from '../_support/store.js'
import { DOMAIN } from '../_support/tenant.js'

/** The instant of the logout. The login in the example of the document is a minute earlier. */
const LOGOUT_AT = 1_795_428_000_123

let database: TestDatabase
let store: Awaited<ReturnType<typeof openTestStore>>
let api: Awaited<ReturnType<typeof serveApi>>
beforeAll(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database, { domain: DOMAIN })
  const slo = { logId: 'L', type: 'slo', at: LOGOUT_AT, userId: 'auth0|123', sessionId: 'S1' }
  await store.storeBatch({ ...fold([slo]), unattributable: [] })
  await store.setFirstCheckpoint(CHECKPOINT, null)
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
  const response = await sendAsCurl(
    await readExample('docs/resource-servers.md', 'Other languages', 'sh'),
  )
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
  // The other test needs the logout of this user unchanged.
  const other = report.replace('auth0|123', 'auth0|reported')
  const reported = await sendAsCurl(other)
  expect(reported.status).toBe(200)
  expect(await reported.json()).toMatchObject({
    user_id: 'auth0|reported',
    all_sessions_at: expect.any(String),
  })
})
