/**
 * The peer of `reads.ts`: a bare Fastify with the same check of the key and the same responses, but without a database.
 * Sends its port to the parent process. The arguments are the key and the two responses as JSON.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import Fastify from 'fastify'

const [key = '', lastLogoutJson = '', verdictJson = ''] = process.argv.slice(2)
const sha256 = (/** @type {string} */ text) => createHash('sha256').update(text).digest()
const digest = sha256(key)
const lastLogout = JSON.parse(lastLogoutJson)
const verdict = JSON.parse(verdictJson)

const app = Fastify()
app.addHook('onRequest', async (request, reply) => {
  const [, sent = ''] = /^bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? []
  if (!timingSafeEqual(digest, sha256(sent))) return reply.code(401).send()
})
app.get('/v1/last-logout', async ({ query }) => ({
  ...lastLogout,
  user_id: /** @type {{ user_id: string }} */ (query).user_id,
}))
app.post('/v1/check', async () => ({ ...verdict }))
const url = await app.listen({ host: '127.0.0.1', port: 0 })
process.send?.(url)
