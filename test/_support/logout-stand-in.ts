import { about, openStandIn, type Reply, type StandIn } from './stand-in.js'

/** Serves last logouts until the test ends: `auth0|out` has logged out of all sessions just now, no other user has. */
export function openLogoutStandIn(): Promise<StandIn> {
  return openStandIn((url) => {
    const userId = new URL(url, 'http://service').searchParams.get('user_id') ?? ''
    return userId === 'auth0|out' ? loggedOut(userId) : about(userId)
  })
}

function loggedOut(userId: string): Reply {
  const [status, body] = about(userId)
  const at = new Date().toISOString()
  return [status, JSON.stringify({ ...JSON.parse(body), last_logout_at: at, all_sessions_at: at })]
}
