import jwt from '@fastify/jwt'
import express, { type ErrorRequestHandler } from 'express'
import { type Request as ExpressJwtRequest, expressjwt, type GetVerificationKey } from 'express-jwt'
import { auth } from 'express-oauth2-jwt-bearer'
import Fastify from 'fastify'
import auth0 from 'fastify-auth0-verify'
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { lastLogout as forExpress, isRevoked } from '../../src/client/express.js'
import { lastLogout as forFastify } from '../../src/client/fastify.js'
import { lastLogout as forFetch } from '../../src/client/fetch.js'
import type { LastLogoutClient } from '../../src/client/index.js'
import { openClient } from '../_support/client.js'
import { type Issuer, ORDERS_AUDIENCE, openIssuer } from '../_support/issuer.js'
import { type ProtectedServer, waitUntilListening } from '../_support/protected-server.js'
import { type ServedLogouts, serveLogouts } from '../_support/served-logouts.js'

let logouts: ServedLogouts
let issuer: Issuer
let connectedClient: LastLogoutClient
let disconnectedClient: LastLogoutClient
beforeAll(async () => {
  logouts = await serveLogouts()
  await logouts.logOut('auth0|out')
  issuer = await openIssuer()
  connectedClient = openClient(logouts.url)
  // No server listens on port 1.
  disconnectedClient = openClient('http://127.0.0.1:1')
  await connectedClient.ready()
})
afterAll(async () => {
  await Promise.all([connectedClient.close(), disconnectedClient.close(), issuer.close()])
  await logouts.close()
})

const openExpress = (client: LastLogoutClient) => {
  const app = express()
  app.use(auth({ issuerBaseURL: issuer.url, audience: ORDERS_AUDIENCE }), forExpress(client))
  app.get('/', (req, res) => void res.json({ user: req.auth?.payload.sub }))
  return waitUntilListening(app.listen(0, '127.0.0.1'))
}

const openExpressJwt = (client: LastLogoutClient) => {
  const app = express()
  const secret: GetVerificationKey = async () => issuer.publicPem
  app.use(expressjwt({ secret, algorithms: ['RS256'], isRevoked: isRevoked(client) }))
  app.get('/', ({ auth }: ExpressJwtRequest, res) => void res.json({ user: auth?.sub }))
  // Express prints every error unless its setting `env` is `test`.
  app.set('env', 'test')
  return waitUntilListening(app.listen(0, '127.0.0.1'))
}

const openFastify = async (client: LastLogoutClient) => {
  const app = Fastify()
  await app.register(jwt, {
    secret: { public: issuer.publicPem },
    verify: { algorithms: ['RS256'] },
  })
  const preHandler = [
    (request: { jwtVerify(): Promise<unknown> }) => request.jwtVerify().then(() => {}),
    forFastify(client),
  ]
  app.get('/', { preHandler }, async ({ user }) => ({ user: (user as { sub: string }).sub }))
  await app.listen({ host: '127.0.0.1', port: 0 })
  const served = await waitUntilListening(app.server)
  return { ...served, close: () => app.close() }
}

const openFastifyAuth0 = async (client: LastLogoutClient) => {
  const app = Fastify()
  await app.register(auth0, { domain: issuer.url, audience: ORDERS_AUDIENCE, issuer: issuer.url })
  const preHandler = [app.authenticate, forFastify(client)]
  app.get('/', { preHandler }, async ({ user }) => ({ user: (user as { sub: string }).sub }))
  await app.listen({ host: '127.0.0.1', port: 0 })
  const served = await waitUntilListening(app.server)
  return { ...served, close: () => app.close() }
}

describe.each([
  ['Express after express-oauth2-jwt-bearer', openExpress],
  ['express-jwt', openExpressJwt],
  ['Fastify after @fastify/jwt', openFastify],
  ['Fastify after fastify-auth0-verify', openFastifyAuth0],
])('%s', (_case, open) => {
  let server: ProtectedServer
  afterEach(() => server.close())

  /** Sends a request with a token of a user who logged in a minute ago. Only `auth0|out` has logged out since. */
  const call = async (sub: string) => {
    const token = await issuer.sign({ sub, iat: Math.floor(Date.now() / 1000) - 60 })
    return fetch(server.url, { headers: { authorization: `Bearer ${token}` } })
  }

  test('the adapter accepts a token that no logout covers', async () => {
    server = await open(connectedClient)
    const response = await call('auth0|in')
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({ user: 'auth0|in' })
  })

  test('the adapter refuses a token of a logged-out user with 401 invalid_token', async () => {
    server = await open(connectedClient)
    const response = await call('auth0|out')
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toMatch(/^Bearer .*error="invalid_token"/)
  })

  test('the adapter responds with 503 and Retry-After while the revocation status is unknown (pitfall 28)', async () => {
    server = await open(disconnectedClient)
    const response = await call('auth0|in')
    expect(response.status).toBe(503)
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
  })

  test('a request without a token is refused by the JWT library', async () => {
    server = await open(connectedClient)
    expect((await fetch(server.url)).status).toBe(401)
  })
})

describe('a fetch-style server', () => {
  /** Verifies and checks a token of a user. Returns the response that refuses the request, or `null`. */
  const checkToken = async (client: LastLogoutClient, sub: string) => {
    const token = await issuer.sign({ sub, iat: Math.floor(Date.now() / 1000) - 60 })
    const keySet = (await (await fetch(`${issuer.url}jwks`)).json()) as JSONWebKeySet
    const { payload } = await jwtVerify(token, createLocalJWKSet(keySet))
    return forFetch(client)(payload)
  }

  test('the adapter returns null for an accepted token, and the response that refuses the request for another token', async () => {
    expect(await checkToken(connectedClient, 'auth0|in')).toBeNull()
    const refusalOfRevoked = await checkToken(connectedClient, 'auth0|out')
    expect(refusalOfRevoked?.status).toBe(401)
    const challenge = refusalOfRevoked?.headers.get('www-authenticate')
    expect(challenge).toMatch(/^Bearer error="invalid_token"/)
    expect(await refusalOfRevoked?.json()).toMatchObject({ error: 'invalid_token' })
    const refusalOfUnknown = await checkToken(disconnectedClient, 'auth0|in')
    expect(refusalOfUnknown?.status).toBe(503)
    expect(refusalOfUnknown?.headers.get('retry-after')).toBe('5')
  })
})

describe('a request without verified claims', () => {
  test('the Express adapter responds with 500 to a request without verified claims (pitfall 21)', async () => {
    const app = express()
    app.use(forExpress(connectedClient))
    app.get('/', (_req, res) => void res.json({}))
    app.use(((_error, _req, res, _next) => void res.status(500).end()) as ErrorRequestHandler)
    const server = await waitUntilListening(app.listen(0, '127.0.0.1'))
    expect((await fetch(server.url)).status).toBe(500)
    await server.close()
  })

  test('the Express adapter accepts a request without a token if no token is required', async () => {
    const app = express()
    app.use(auth({ issuerBaseURL: issuer.url, audience: ORDERS_AUDIENCE, authRequired: false }))
    app.use(forExpress(connectedClient, { authRequired: false }))
    app.get('/', (_req, res) => void res.json({}))
    const server = await waitUntilListening(app.listen(0, '127.0.0.1'))
    expect((await fetch(server.url)).status).toBe(200)
    await server.close()
  })

  test('the Fastify adapter responds with 500 to a request without verified claims (pitfall 21)', async () => {
    const app = Fastify()
    app.get('/', { preHandler: forFastify(connectedClient) }, async () => ({}))
    expect((await app.inject('/')).statusCode).toBe(500)
    await app.close()
  })
})
