import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { createLastLogoutClient } from 'last-logout-client'
import { lastLogout } from 'last-logout-client/hono'

const { ISSUER_BASE_URL, AUDIENCE, LAST_LOGOUT_URL, LAST_LOGOUT_API_KEY, PORT } = process.env
if (!ISSUER_BASE_URL || !AUDIENCE) throw new Error('set ISSUER_BASE_URL and AUDIENCE')
const [url, apiKey] = [LAST_LOGOUT_URL, LAST_LOGOUT_API_KEY]
const client = createLastLogoutClient({ url, apiKey, onUnknown: 'deny', onError: console.error })

const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', ISSUER_BASE_URL))
const issuer = new URL('/', ISSUER_BASE_URL).href
const expected = { issuer, audience: AUDIENCE, algorithms: ['RS256'] }

/** Verifies the token, as hono/jwk does, but keeps the keys between requests. */
async function verify(c, next) {
  const [, token = ''] = /^Bearer (.+)$/i.exec(c.req.header('authorization') ?? '') ?? []
  const { payload } = await jwtVerify(token, keys, expected).catch((error) => {
    // These errors mean that the token is invalid. Others mean that its keys are unavailable.
    if (!/^ERR_JW[TS]_|ALG_NOT_ALLOWED|NOT_SUPPORTED|MATCHING_KEY/.test(error.code)) throw error
    const headers = { 'WWW-Authenticate': 'Bearer' }
    throw new HTTPException(401, { res: new Response(null, { status: 401, headers }) })
  })
  c.set('jwtPayload', payload)
  await next()
}

const app = new Hono()
app.use(verify, lastLogout(client))
app.get('/orders', (c) => c.json({ user: c.get('jwtPayload').sub }))

serve({ fetch: app.fetch, hostname: '127.0.0.1', port: PORT }, ({ port }) => {
  console.log(`listening on http://127.0.0.1:${port}`)
})
