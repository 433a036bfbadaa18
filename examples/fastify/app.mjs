import Fastify from 'fastify'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { createLastLogoutClient } from 'last-logout-client'
import { lastLogout } from 'last-logout-client/fastify'

const { ISSUER_BASE_URL, AUDIENCE, LAST_LOGOUT_URL, LAST_LOGOUT_API_KEY, PORT } = process.env
if (!ISSUER_BASE_URL || !AUDIENCE) throw new Error('set ISSUER_BASE_URL and AUDIENCE')
const [url, apiKey] = [LAST_LOGOUT_URL, LAST_LOGOUT_API_KEY]
const client = createLastLogoutClient({ url, apiKey, onUnknown: 'deny', onError: console.error })

const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', ISSUER_BASE_URL))
const issuer = new URL('/', ISSUER_BASE_URL).href
const expected = { issuer, audience: AUDIENCE, algorithms: ['RS256'] }

/** Verifies the token. `fastify-auth0-verify` would request the keys again for each unknown key id. */
async function authenticate(request, reply) {
  const [, token = ''] = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '') ?? []
  try {
    request.user = (await jwtVerify(token, keys, expected)).payload
  } catch (error) {
    // These errors mean that the token is invalid. Others mean that its keys are unavailable.
    if (!/^ERR_JW[TS]_|ALG_NOT_ALLOWED|NOT_SUPPORTED|MATCHING_KEY/.test(error.code)) throw error
    return reply.code(401).header('WWW-Authenticate', 'Bearer').send()
  }
}

const app = Fastify()
app.decorateRequest('user', null)
const preHandler = [authenticate, lastLogout(client)]
app.get('/orders', { preHandler }, async (request) => ({ user: request.user.sub }))

console.log('listening on', await app.listen({ host: '127.0.0.1', port: PORT }))
