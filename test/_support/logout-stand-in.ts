import { openStandIn, type Reply, replyAbout, type StandIn } from './stand-in.js'

/** Opens a stub server until the test ends. By its responses, only the user `auth0|out` has logged out, of all sessions. */
export function openLogoutStandIn(): Promise<StandIn> {
  return openStandIn((url) => {
    const userId = new URL(url, 'http://service').searchParams.get('user_id') ?? ''
    return userId === 'auth0|out' ? replyAboutLogout(userId) : replyAbout(userId)
  })
}

/** Returns the response about a user who has just logged out of all sessions. */
function replyAboutLogout(userId: string): Reply {
  const [status, body] = replyAbout(userId)
  const at = new Date().toISOString()
  return [status, JSON.stringify({ ...JSON.parse(body), last_logout_at: at, all_sessions_at: at })]
}
