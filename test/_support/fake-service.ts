import type { LastLogoutClient } from '../../src/client/index.js'
import { openClient } from './client.js'
import { type FakeResponse, type FakeServer, openFakeServer, responseAbout } from './fake-server.js'

/**
 * Opens a fake of the service until the test ends. The user `auth0|out` has just logged out of all sessions. No other
 * user has logged out.
 */
export function openFakeService(): Promise<FakeServer> {
  return openFakeServer((url) => {
    const userId = new URL(url, 'http://service').searchParams.get('user_id') ?? ''
    return userId === 'auth0|out' ? responseAboutLogout(userId) : responseAbout(userId)
  })
}

/** Opens a fake of the service, and a client that sends one request to it for each check. */
export async function openFakeClient(): Promise<LastLogoutClient> {
  return openClient((await openFakeService()).url, { lookup: 'request' })
}

/** Returns the response about a user who has just logged out of all sessions. */
function responseAboutLogout(userId: string): FakeResponse {
  const [status, body] = responseAbout(userId)
  const at = new Date().toISOString()
  return [status, JSON.stringify({ ...JSON.parse(body), last_logout_at: at, all_sessions_at: at })]
}
