import { describe, expect, test } from 'vitest'
import { readActionFile } from '../../src/auth0/actions/code.js'
import { openFakeServer, responseAbout } from '../_support/fake-server.js'
import { buildExchangeEvent, loadActionWithLog } from '../_support/run-action.js'

const KEY = 'k'.repeat(32)
const LOGGED_OUT = 'last_logout: the session was logged out'
const run = loadActionWithLog(await readActionFile())

/** Opens a service, and returns a function that runs the exchange of a session that was logged out. */
async function openService() {
  const service = await openFakeServer(() => {
    const [status, body] = responseAbout('auth0|out', 'S1')
    const now = new Date().toISOString()
    const session = { session_id: 'S1', logout_at: now, ended: true }
    return [status, JSON.stringify({ ...JSON.parse(body), last_logout_at: now, session })]
  })
  const exchange = (secrets: Record<string, string>) =>
    run(
      buildExchangeEvent(
        { userId: 'auth0|out', sessionId: 'S1', createdAt: Date.now() - 60_000 },
        { LAST_LOGOUT_URL: service.url, LAST_LOGOUT_API_KEY: KEY, ...secrets },
      ),
    )
  return { ...service, exchange }
}

describe('the secrets of the Action', () => {
  test.each([
    [{ LAST_LOGOUT_URL: '' }, /LAST_LOGOUT_URL must be the URL of last-logout/],
    [{ LAST_LOGOUT_URL: 'last-logout' }, /LAST_LOGOUT_URL must be the URL of last-logout/],
    [{ LAST_LOGOUT_URL: 'localhost:8080' }, /LAST_LOGOUT_URL must be the URL of last-logout/],
    [{ LAST_LOGOUT_URL: 'localhost:8080' }, /lookup failed: LAST_LOGOUT_URL/],
    [{ LAST_LOGOUT_URL: 'file:///tmp' }, /LAST_LOGOUT_URL must be the URL of last-logout/],
    [{ LAST_LOGOUT_API_KEY: '' }, /LAST_LOGOUT_API_KEY/],
    [{ LAST_LOGOUT_API_KEY: 'secret\nkey' }, /LAST_LOGOUT_API_KEY contains a space, a line break/],
    [{ LAST_LOGOUT_API_KEY: 'secret key' }, /LAST_LOGOUT_API_KEY contains a space, a line break/],
    [{ LAST_LOGOUT_TIMEOUT_MS: 'soon' }, /LAST_LOGOUT_TIMEOUT_MS/],
    [{ LAST_LOGOUT_MODE: 'monitor' }, /LAST_LOGOUT_MODE/],
    [{ LAST_LOGOUT_POLICY: 'all' }, /LAST_LOGOUT_POLICY/],
    [{ LAST_LOGOUT_ON_ERROR: 'ignore' }, /LAST_LOGOUT_ON_ERROR/],
  ])(
    'the Action logs that the secret %j is invalid, but not its value',
    async (secrets, expectedLine) => {
      const { exchange } = await openService()
      const { logLines, accessToken } = await exchange(secrets)
      expect(logLines.join()).toMatch(expectedLine)
      expect(logLines.join()).not.toContain('secret\nkey')
      expect(accessToken).toHaveProperty(['https://last-logout/authenticated_at'])
    },
  )

  test.each([' ', '\n', '\r\n', '\t'])(
    'the Action ignores white space (%j) around its secrets',
    async (space) => {
      const { exchange, url } = await openService()
      const secrets = {
        LAST_LOGOUT_URL: url,
        LAST_LOGOUT_API_KEY: KEY,
        LAST_LOGOUT_TIMEOUT_MS: '5000',
        LAST_LOGOUT_NAMESPACE: 'https://acme.example/',
        LAST_LOGOUT_MODE: 'observe',
        LAST_LOGOUT_ON_ERROR: 'deny',
        LAST_LOGOUT_POLICY: 'session',
      }
      const padded = Object.fromEntries(
        Object.entries(secrets).map(([name, value]) => [name, `${space}${value}${space}`]),
      )
      const { denied, accessToken, logLines } = await exchange(padded)
      expect(logLines).toEqual([`last_logout: observed, not denied: ${LOGGED_OUT}`])
      expect(denied).toBeNull()
      expect(accessToken).toHaveProperty(['https://acme.example/last_logout'])
      const unreachable = { LAST_LOGOUT_URL: 'http://127.0.0.1:1', LAST_LOGOUT_MODE: '' }
      expect((await exchange({ ...padded, ...unreachable })).denied).toMatch(/revocation status/)
    },
  )

  test.each(['', '/', '/?a=b', '#a'])(
    'the Action finds the service if LAST_LOGOUT_URL ends in %j',
    async (suffix) => {
      const { exchange, url, requestedUrls } = await openService()
      const { denied } = await exchange({ LAST_LOGOUT_URL: url + suffix })
      expect(denied).toBe(LOGGED_OUT)
      expect(requestedUrls).toEqual(['/v1/last-logout?user_id=auth0%7Cout&session_id=S1'])
    },
  )

  test('the Action finds a service whose URL has a path', async () => {
    const { exchange, url, requestedUrls } = await openService()
    await exchange({ LAST_LOGOUT_URL: `${url}/base\n` })
    expect(requestedUrls).toEqual(['/base/v1/last-logout?user_id=auth0%7Cout&session_id=S1'])
  })
})
