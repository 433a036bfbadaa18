import { createRemoteJWKSet, type JWTPayload, jwtVerify } from 'jose'
import { createLastLogoutClient } from 'last-logout-client'
import { lastLogout } from 'last-logout-client/fetch'

/** Created at the first request: `next build` loads this file without the environment of the server. */
let checks: ReturnType<typeof createChecks> | undefined

function createChecks() {
  const { ISSUER_BASE_URL, AUDIENCE, LAST_LOGOUT_URL, LAST_LOGOUT_API_KEY } = process.env
  if (!ISSUER_BASE_URL || !AUDIENCE) throw new Error('set ISSUER_BASE_URL and AUDIENCE')
  const [url, apiKey] = [LAST_LOGOUT_URL ?? '', LAST_LOGOUT_API_KEY ?? '']
  const client = createLastLogoutClient({
    url,
    apiKey,
    lookup: 'request',
    onUnknown: 'deny',
    onError: console.error,
  })
  const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', ISSUER_BASE_URL))
  const issuer = new URL('/', ISSUER_BASE_URL).href
  const expected = { audience: AUDIENCE, issuer, algorithms: ['RS256'] }
  return {
    verify: async (token: string) => (await jwtVerify(token, keys, expected)).payload,
    refuse: lastLogout(client),
  }
}

/** Returns the claims of a request's access token, or the response that refuses the request. */
export async function authenticate(request: Request): Promise<JWTPayload | Response> {
  checks ??= createChecks()
  const [, token = ''] = /^Bearer (.+)$/i.exec(request.headers.get('authorization') ?? '') ?? []
  const claims = await checks.verify(token).catch((error) => {
    // These errors mean that the token is invalid. Others mean that its keys are unavailable.
    if (!/^ERR_JW[TS]_|ALG_NOT_ALLOWED|NOT_SUPPORTED|MATCHING_KEY/.test(error.code)) throw error
  })
  if (!claims) return new Response(null, { status: 401, headers: { 'WWW-Authenticate': 'Bearer' } })
  return (await checks.refuse(claims)) ?? claims
}
