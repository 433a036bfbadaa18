import Fastify from 'fastify'
import auth0 from 'fastify-auth0-verify'
import { createLastLogoutClient } from 'last-logout-client'
import { lastLogout } from 'last-logout-client/fastify'

const { ISSUER_BASE_URL, AUDIENCE, LAST_LOGOUT_URL, LAST_LOGOUT_API_KEY, PORT } = process.env
if (!ISSUER_BASE_URL || !AUDIENCE) throw new Error('set ISSUER_BASE_URL and AUDIENCE')
const [url, apiKey] = [LAST_LOGOUT_URL, LAST_LOGOUT_API_KEY]
const client = createLastLogoutClient({ url, apiKey, onUnknown: 'deny', onError: console.error })

const app = Fastify()
await app.register(auth0, { domain: ISSUER_BASE_URL, audience: AUDIENCE })
const preHandler = [app.authenticate, lastLogout(client)]
app.get('/orders', { preHandler }, async (request) => ({ user: request.user.sub }))

console.log('listening on', await app.listen({ host: '127.0.0.1', port: PORT }))
