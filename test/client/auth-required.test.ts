import { createServer } from 'node:http'
import jwt from '@fastify/jwt'
import Fastify, { type preHandlerAsyncHookHandler } from 'fastify'
import { Hono } from 'hono'
import { jwk } from 'hono/jwk'
import { exportJWK, jwtVerify } from 'jose'
import Koa from 'koa'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { lastLogout as forFastify } from '../../src/client/fastify.js'
import { lastLogout as forHono } from '../../src/client/hono.js'
import type { LastLogoutClient } from '../../src/client/index.js'
import { lastLogout as forKoa } from '../../src/client/koa.js'
import { openFakeClient } from '../_support/fake-service.js'
import { type Issuer, openIssuer } from '../_support/issuer.js'
import { waitUntilListening } from '../_support/protected-server.js'
import { REVOKED_CHALLENGE } from '../_support/revoked.js'

let issuer: Issuer
beforeAll(async () => {
  issuer = await openIssuer()
})
afterAll(() => issuer.close())

let client: LastLogoutClient
beforeEach(async () => {
  client = await openFakeClient()
})

/** Options of a test app. */
interface AppOptions {
  /** Whether the app verifies the tokens of requests before the adapter checks them. */
  verifies: boolean
  /** The option of the adapter: whether a request without a token is an error. Default: true. */
  authRequired?: boolean
}

/** Opens an app with one route. Returns the URL of the route. The app is closed after the test. */
type OpenApp = (options: AppOptions) => Promise<string>

const openFastify: OpenApp = async ({ verifies, ...options }) => {
  const app = Fastify()
  await app.register(jwt, {
    secret: { public: issuer.publicPem },
    verify: { algorithms: ['RS256'] },
  })
  if (verifies) {
    app.addHook('onRequest', async (request) => {
      if (request.headers.authorization !== undefined) await request.jwtVerify()
    })
  }
  const guard = forFastify(client, options) as preHandlerAsyncHookHandler
  app.get('/', { preHandler: guard }, async () => 'passed')
  onTestFinished(() => app.close())
  return app.listen({ host: '127.0.0.1', port: 0 })
}

const openKoa: OpenApp = async ({ verifies, ...options }) => {
  const app = new Koa()
  // Without this setting, Koa prints each error.
  app.silent = true
  app.use(async (ctx, next) => {
    const [, token] = ctx.get('authorization').split(' ')
    if (verifies && token) ctx.state.user = (await jwtVerify(token, issuer.publicKey)).payload
    await next()
  })
  app.use(forKoa(client, options))
  app.use((ctx) => {
    ctx.body = 'passed'
  })
  const server = await waitUntilListening(app.listen(0, '127.0.0.1'))
  onTestFinished(() => server.close())
  return server.url
}

const openHono: OpenApp = async ({ verifies, ...options }) => {
  const app = new Hono()
  // Sends the response in an HTTPException. Any other error gets a 500.
  app.onError((error, c) =>
    'getResponse' in error ? (error.getResponse as () => Response)() : c.text('', 500),
  )
  const keys = [{ ...(await exportJWK(issuer.publicKey)), kid: 'one', alg: 'RS256', kty: 'RSA' }]
  if (verifies) app.use(jwk({ keys, alg: ['RS256'], allow_anon: true }))
  app.use(forHono(client, options))
  app.get('/', (c) => c.text('passed'))
  const server = await waitUntilListening(
    createServer(async (req, res) => {
      const { authorization = '' } = req.headers
      const response = await app.request('/', { headers: { authorization } })
      res.writeHead(response.status, Object.fromEntries(response.headers))
      res.end(await response.text())
    }).listen(0, '127.0.0.1'),
  )
  onTestFinished(() => server.close())
  return server.url
}

async function call(url: string, headers: Record<string, string> = {}) {
  const response = await fetch(url, { headers })
  await response.body?.cancel()
  return { status: response.status, challenge: response.headers.get('www-authenticate') }
}

/** Sends a request with a token of a user. Only `auth0|out` has logged out in the fake service. */
async function callAs(url: string, sub: string) {
  const token = await issuer.sign({ sub, iat: Math.floor(Date.now() / 1000) - 60 })
  return call(url, { authorization: `Bearer ${token}` })
}

describe.each([
  ['Fastify', openFastify],
  ['Koa', openKoa],
  ['Hono', openHono],
])('%s with authRequired: false', (_case, open) => {
  test('the adapter accepts a request without a token', async () => {
    const url = await open({ verifies: true, authRequired: false })
    expect(await call(url)).toEqual({ status: 200, challenge: null })
  })

  test('the adapter checks a request with a token', async () => {
    const url = await open({ verifies: true, authRequired: false })
    expect(await callAs(url, 'auth0|in')).toEqual({ status: 200, challenge: null })
    expect(await callAs(url, 'auth0|out')).toEqual({ status: 401, challenge: REVOKED_CHALLENGE })
  })

  test('the adapter responds with 401 to a token that the app has not verified', async () => {
    const url = await open({ verifies: false, authRequired: false })
    const challenge = 'Bearer error="invalid_token", error_description="the token was not verified"'
    for (const sub of ['auth0|in', 'auth0|out']) {
      expect(await callAs(url, sub)).toEqual({ status: 401, challenge })
    }
    const responseToDpop = await call(url, { authorization: 'DPoP x' })
    expect(responseToDpop).toEqual({ status: 401, challenge: challenge.replace('Bearer', 'DPoP') })
    // A request without an Authorization header has no token.
    expect((await call(url)).status).toBe(200)
  })

  test('the adapter responds with 500 to a request without a token if a token is required', async () => {
    const url = await open({ verifies: true })
    expect((await call(url)).status).toBe(500)
  })
})

test('the Fastify hook accepts a request without a token if getClaims returns null or undefined', async () => {
  const iat = Math.floor(Date.now() / 1000) - 60
  const statusOf = async (claims: object | null | undefined) => {
    const app = Fastify()
    const guard = forFastify(client, { authRequired: false, getClaims: () => claims })
    app.get('/', { preHandler: guard as preHandlerAsyncHookHandler }, async () => 'passed')
    const { statusCode } = await app.inject('/')
    await app.close()
    return statusCode
  }
  expect(await statusOf(null)).toBe(200)
  expect(await statusOf(undefined)).toBe(200)
  expect(await statusOf({ sub: 'auth0|in', iat })).toBe(200)
  expect(await statusOf({ sub: 'auth0|out', iat })).toBe(401)
})
