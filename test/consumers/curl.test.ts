import { afterAll, beforeAll, expect, test } from 'vitest'
import { fold } from '../../src/rules/fold.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { readExample } from '../_support/documents.js'
import { KEY, serveApi } from '../_support/served-api.js'
import { CHECKPOINT, openTestStore } from '../_support/store.js'
import { DOMAIN } from '../_support/tenant.js'
import {
  API_AUDIENCE,
  openTenantTokens,
  type TenantTokens,
  TOKEN_ISSUER,
} from '../_support/tenant-tokens.js'

const FORM = 'application/x-www-form-urlencoded'

/** The instant of the logout, in milliseconds. The login in the example of the document is a minute earlier. */
const LOGOUT_AT = 1_795_428_000_123

let database: TestDatabase
let store: Awaited<ReturnType<typeof openTestStore>>
let tokens: TenantTokens
let api: Awaited<ReturnType<typeof serveApi>>
beforeAll(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database, { domain: DOMAIN })
  const logoutEvent = {
    logId: 'L',
    type: 'slo',
    at: LOGOUT_AT,
    userId: 'auth0|123',
    sessionId: 'S1',
  }
  await store.storeBatch({ ...fold([logoutEvent]), unattributable: [] })
  await store.setFirstCheckpoint(CHECKPOINT, null)
  tokens = await openTenantTokens()
  api = await serveApi(database, {
    API_KEYS: `test:${KEY}:read+check+logout+introspect`,
    TOKEN_ISSUER,
    TOKEN_JWKS_URL: tokens.keySet.url,
    TOKEN_AUDIENCES: `test=${API_AUDIENCE}`,
  })
})
afterAll(async () => {
  await api.close()
  await store.close()
  await database.drop()
  await tokens.close()
})

/** Sends the same request as curl would send for a command line of a document. */
function sendAsCurl(commandLine: string): Promise<Response> {
  const [, path = ''] = /127\.0\.0\.1:8080(\S+)/.exec(commandLine) ?? []
  const [, body] = /-d '(.*)'/.exec(commandLine) ?? []
  // With `-d`, curl sends this type, unless the line names another type.
  const headers = new Headers(body === undefined ? {} : { 'content-type': FORM })
  for (const [, name = '', value = ''] of commandLine.matchAll(/-H '(.*?): (.*?)'/g)) {
    headers.set(name, value.replace('<key>', KEY))
  }
  const query = [...commandLine.matchAll(/--data-urlencode '(.*?)=(.*?)'/g)].map(
    ([, name, value = '']) => `${name}=${encodeURIComponent(value)}`,
  )
  const url = `${api.url}${path}${query.length > 0 ? `?${query.join('&')}` : ''}`
  return fetch(url, body === undefined ? { headers } : { method: 'POST', headers, body })
}

test('the documented curl request for a check returns the verdict', async () => {
  const response = await sendAsCurl(
    await readExample('docs/resource-servers.md', 'Other languages', 'sh'),
  )
  expect(response.status).toBe(200)
  const documentedBody = JSON.parse(await readExample('docs/api.md', 'Check a token', 'json'))
  expect(await response.json()).toEqual({ ...documentedBody, as_of: null })
})

test('the documented curl request for introspection returns whether the token is active', async () => {
  const commandLine = await readExample('docs/gateways.md', 'Introspection', 'sh')
  const token = await tokens.signAccessToken({ sub: 'auth0|other' })
  // It is unknown whether a token is active before the log has been read to its end. The other tests expect that state.
  const response = await sendAsCurl(commandLine.replace('<access token>', token))
  expect(response.status).toBe(503)
  const revokedToken = await tokens.signAccessToken({ iat: LOGOUT_AT / 1000 - 60 })
  const responseToRevoked = await sendAsCurl(commandLine.replace('<access token>', revokedToken))
  expect(await responseToRevoked.json()).toEqual({ active: false })
})

test('the documented curl requests that read and report a logout return the state of the user', async () => {
  const [readLine = '', reportLine = ''] = (
    await readExample('docs/api.md', 'Requests', 'sh')
  ).split('\n')
  const response = await sendAsCurl(readLine)
  expect(response.status).toBe(200)
  const documentedBody = JSON.parse(await readExample('docs/api.md', 'Read a last logout', 'json'))
  expect(await response.json()).toEqual({
    ...documentedBody,
    session: { session_id: 'S1', logout_at: '2026-11-23T10:00:00.123Z', ended: true },
    // The log has not been read to its end.
    as_of: null,
    lag_ms: null,
    complete: false,
  })
  // Another test needs the logout of `auth0|123` unchanged.
  const lineForOtherUser = reportLine.replace('auth0|123', 'auth0|reported')
  const responseToReport = await sendAsCurl(lineForOtherUser)
  expect(responseToReport.status).toBe(200)
  expect(await responseToReport.json()).toMatchObject({
    user_id: 'auth0|reported',
    all_sessions_at: expect.any(String),
  })
})
