import { createRemoteJWKSet, jwtVerify } from 'jose'
import { createLastLogoutClient } from 'last-logout-client'
import { lastLogout } from 'last-logout-client/lambda'

const { ISSUER_BASE_URL, AUDIENCE, LAST_LOGOUT_URL, LAST_LOGOUT_API_KEY } = process.env
if (!ISSUER_BASE_URL || !AUDIENCE) throw new Error('set ISSUER_BASE_URL and AUDIENCE')
const [url, apiKey] = [LAST_LOGOUT_URL, LAST_LOGOUT_API_KEY]
// At the top level: the invocations of an execution environment share the keys and the cached responses.
const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', ISSUER_BASE_URL))
const client = createLastLogoutClient({
  url,
  apiKey,
  lookup: 'request',
  onUnknown: 'deny',
  onError: console.error,
})
const authorize = lastLogout(client)

const issuer = new URL('/', ISSUER_BASE_URL).href
const expected = { audience: AUDIENCE, issuer, algorithms: ['RS256'] }
const invalid = (error) => {
  // These errors mean that the token is invalid. Others mean that its keys are unavailable.
  if (!/^ERR_JW[TS]_|ALG_NOT_ALLOWED|NOT_SUPPORTED|MATCHING_KEY/.test(error.code)) throw error
  throw new Error('Unauthorized')
}

/** Authorizes requests to a REST API (`TOKEN` or `REQUEST`) and to an HTTP API (payload format 2.0). */
export async function handler(event) {
  const [, token = ''] = /^Bearer (.+)$/i.exec(authorizationOf(event) ?? '') ?? []
  const { payload } = await jwtVerify(token, keys, expected).catch(invalid)
  return authorize(event, payload)
}

/** A REST API keeps the case of header names, an HTTP API writes them in lower case. */
function authorizationOf({ authorizationToken, headers = {} }) {
  return authorizationToken ?? headers.authorization ?? headers.Authorization
}
