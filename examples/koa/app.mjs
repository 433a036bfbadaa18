import Router from '@koa/router'
import { koaJwtSecret } from 'jwks-rsa'
import Koa from 'koa'
import jwt from 'koa-jwt'
import { createLastLogoutClient } from 'last-logout-client'
import { lastLogout } from 'last-logout-client/koa'

const { ISSUER_BASE_URL, AUDIENCE, LAST_LOGOUT_URL, LAST_LOGOUT_API_KEY, PORT } = process.env
if (!ISSUER_BASE_URL || !AUDIENCE) throw new Error('set ISSUER_BASE_URL and AUDIENCE')
const [url, apiKey] = [LAST_LOGOUT_URL, LAST_LOGOUT_API_KEY]
const client = createLastLogoutClient({ url, apiKey, onUnknown: 'deny', onError: console.error })

const jwksUri = new URL('/.well-known/jwks.json', ISSUER_BASE_URL).href
// Without a rate limit, each token with an unknown key id would cause a request.
const secret = koaJwtSecret({ jwksUri, rateLimit: true })
const issuer = new URL('/', ISSUER_BASE_URL).href

const router = new Router()
router.get('/orders', (ctx) => {
  ctx.body = { user: ctx.state.user.sub }
})

const app = new Koa()
app.use(jwt({ secret, issuer, audience: AUDIENCE, algorithms: ['RS256'] }))
app.use(lastLogout(client))
app.use(router.routes())

const server = app.listen(PORT, '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`)
})
