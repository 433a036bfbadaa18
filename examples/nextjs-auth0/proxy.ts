import { createLastLogoutClient } from 'last-logout-client'
import { endLoggedOutSessions } from 'last-logout-client/nextjs-auth0'
import { auth0 } from './auth0'

const { LAST_LOGOUT_URL, LAST_LOGOUT_API_KEY } = process.env
const client = createLastLogoutClient({
  url: LAST_LOGOUT_URL ?? '',
  apiKey: LAST_LOGOUT_API_KEY ?? '',
  lookup: 'request',
  onUnknown: 'deny',
  onError: console.error,
})

export const proxy = endLoggedOutSessions(client, auth0)

/** All routes but static files: a route without the proxy accepts a session that was logged out. */
export const config = {
  matcher: '/((?!_next/static|_next/image|favicon.ico).*)',
}
