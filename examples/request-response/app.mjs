import { createRemoteJWKSet, jwtVerify } from 'jose'
import { createLastLogoutClient } from 'last-logout-client'
import { lastLogout } from 'last-logout-client/fetch'
import { serve } from 'srvx'

const { ISSUER_BASE_URL, AUDIENCE, LAST_LOGOUT_URL, LAST_LOGOUT_API_KEY, PORT } = process.env
if (!ISSUER_BASE_URL || !AUDIENCE) throw new Error('set ISSUER_BASE_URL and AUDIENCE')
const [url, apiKey] = [LAST_LOGOUT_URL, LAST_LOGOUT_API_KEY]
const client = createLastLogoutClient({ url, apiKey, onUnknown: 'deny', onError: console.error })
const refuse = lastLogout(client)

const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', ISSUER_BASE_URL))
const issuer = new URL('/', ISSUER_BASE_URL).href
const expected = { issuer, audience: AUDIENCE, algorithms: ['RS256'] }

/** Returns the claims of the request's token, or `null` if the token is missing or invalid. */
async function verify(request) {
  const [, token = ''] = /^Bearer (.+)$/i.exec(request.headers.get('authorization') ?? '') ?? []
  try {
    return (await jwtVerify(token, keys, expected)).payload
  } catch (error) {
    // These errors mean that the token is invalid. Others mean that its keys are unavailable.
    if (/^ERR_JW[TS]_|ALG_NOT_ALLOWED|NOT_SUPPORTED|MATCHING_KEY/.test(error.code)) return null
    throw error
  }
}

async function handle(request) {
  const claims = await verify(request)
  if (!claims) return new Response(null, { status: 401, headers: { 'WWW-Authenticate': 'Bearer' } })
  return (await refuse(claims)) ?? Response.json({ user: claims.sub })
}

const server = serve({ fetch: handle, hostname: '127.0.0.1', port: PORT, silent: true })
await server.ready()
console.log(`listening on ${server.url.slice(0, -1)}`)
