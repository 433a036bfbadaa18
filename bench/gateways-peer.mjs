/**
 * The peer of `gateways.ts`: a bare Fastify that checks the key, verifies the token by `jose`, and responds as
 * last-logout does, but reads no logouts. Sends its URL to the parent process. The arguments are the key, the issuer,
 * the audience, and the URL of the key set.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import Fastify from 'fastify'
import { createRemoteJWKSet, jwtVerify } from 'jose'

const [key = '', issuer = '', audience = '', jwksUrl = ''] = process.argv.slice(2)
const sha256 = (/** @type {string} */ text) => createHash('sha256').update(text).digest()
const digest = sha256(key)
const keys = createRemoteJWKSet(new URL(jwksUrl))
const options = { algorithms: ['RS256'], issuer, audience }
const verify = async (/** @type {string} */ token) =>
  (await jwtVerify(token, keys, options)).payload
const isCaller = (/** @type {string} */ sent) => timingSafeEqual(digest, sha256(sent))
const bearer = (/** @type {string | undefined} */ header = '') =>
  /^bearer +(\S+)$/i.exec(header)?.[1] ?? ''

const app = Fastify()
app.addContentTypeParser(
  'application/x-www-form-urlencoded',
  { parseAs: 'string' },
  (_request, body, done) => done(null, Object.fromEntries(new URLSearchParams(String(body)))),
)
app.post('/v1/introspect', async ({ headers, body }, reply) => {
  if (!isCaller(bearer(headers.authorization))) return reply.code(401).send()
  const claims = await verify(/** @type {{ token: string }} */ (body).token)
  return { ...claims, active: true }
})
app.get('/v1/forward-auth', async ({ headers }, reply) => {
  if (!isCaller(String(headers['x-last-logout-key']))) return reply.code(403).send()
  const claims = await verify(bearer(headers.authorization))
  reply.header('x-last-logout-user', encodeURIComponent(String(claims.sub)))
  return reply.code(204).send()
})
const url = await app.listen({ host: '127.0.0.1', port: 0 })
process.send?.(url)
