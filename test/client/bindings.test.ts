import jwt from '@fastify/jwt'
import express, { type ErrorRequestHandler } from 'express'
import { type Request as ExpressJwtRequest, expressjwt, type GetVerificationKey } from 'express-jwt'
import { auth } from 'express-oauth2-jwt-bearer'
import Fastify from 'fastify'
import auth0 from 'fastify-auth0-verify'
import { createLocalJWKSet, exportSPKI, type JSONWebKeySet, jwtVerify } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { lastLogout as forExpress, isRevoked } from '../../src/client/express.js'
import { lastLogout as forFastify } from '../../src/client/fastify.js'
import { lastLogout as forFetch } from '../../src/client/fetch.js'
import type { LastLogoutClient } from '../../src/client/index.js'
import { openClient } from '../_support/client.js'
import { AUDIENCE, type Issuer, openIssuer } from '../_support/issuer.js'
import { type ProtectedServer, serve } from '../_support/protected-server.js'
import { type ServedLogouts, serveLogouts } from '../_support/served-logouts.js'

let logouts: ServedLogouts
let issuer: Issuer
let known: LastLogoutClient
let blind: LastLogoutClient
beforeAll(async () => {
  logouts = await serveLogouts()
  await logouts.logOut('auth0|out')
  issuer = await openIssuer()
  known = openClient(logouts.url)
  blind = openClient('http://127.0.0.1:1')
  await known.ready()
})
afterAll(async () => {
  await Promise.all([known.close(), blind.close(), issuer.close()])
  await logouts.close()
})

const byExpress = (client: LastLogoutClient) => {
  const app = express()
  app.use(auth({ issuerBaseURL: issuer.url, audience: AUDIENCE }), forExpress(client))
  app.get('/', (req, res) => void res.json({ user: req.auth?.payload.sub }))
  return serve(app.listen(0, '127.0.0.1'))
}

const byExpressJwt = (client: LastLogoutClient) => {
  const app = express()
  const secret: GetVerificationKey = async () => exportSPKI(issuer.publicKey)
  app.use(expressjwt({ secret, algorithms: ['RS256'], isRevoked: isRevoked(client) }))
  app.get('/', ({ auth }: ExpressJwtRequest, res) => void res.json({ user: auth?.sub }))
  // It prints every error that it answers, unless told that this is a test.
  app.set('env', 'test')
  return serve(app.listen(0, '127.0.0.1'))
}

const byFastify = async (client: LastLogoutClient) => {
  const app = Fastify()
  const key = await exportSPKI(issuer.publicKey)
  await app.register(jwt, { secret: { public: key }, verify: { algorithms: ['RS256'] } })
  const preHandler = [
    (request: { jwtVerify(): Promise<unknown> }) => request.jwtVerify().then(() => {}),
    forFastify(client),
  ]
  app.get('/', { preHandler }, async ({ user }) => ({ user: (user as { sub: string }).sub }))
  await app.listen({ host: '127.0.0.1', port: 0 })
  const served = await serve(app.server)
  return { ...served, close: () => app.close() }
}

const byFastifyAuth0 = async (client: LastLogoutClient) => {
  const app = Fastify()
  await app.register(auth0, { domain: issuer.url, audience: AUDIENCE, issuer: issuer.url })
  const preHandler = [app.authenticate, forFastify(client)]
  app.get('/', { preHandler }, async ({ user }) => ({ user: (user as { sub: string }).sub }))
  await app.listen({ host: '127.0.0.1', port: 0 })
  const served = await serve(app.server)
  return { ...served, close: () => app.close() }
}

describe.each([
  ['Express after express-oauth2-jwt-bearer', byExpress],
  ['express-jwt', byExpressJwt],
  ['Fastify after @fastify/jwt', byFastify],
  ['Fastify after fastify-auth0-verify', byFastifyAuth0],
])('%s', (_name, open) => {
  let server: ProtectedServer
  afterEach(() => server.close())

  const call = async (sub: string) => {
    const token = await issuer.sign({ sub, iat: Math.floor(Date.now() / 1000) - 60 })
    return fetch(server.url, { headers: { authorization: `Bearer ${token}` } })
  }

  test('lets a token pass that is not from before a logout', async () => {
    server = await open(known)
    const answer = await call('auth0|in')
    expect(answer.status).toBe(200)
    expect(await answer.json()).toEqual({ user: 'auth0|in' })
  })

  test('refuses one that is with 401 invalid_token', async () => {
    server = await open(known)
    const answer = await call('auth0|out')
    expect(answer.status).toBe(401)
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer .*error="invalid_token"/)
  })

  test('answers 503 with Retry-After while it cannot know (P28)', async () => {
    server = await open(blind)
    const answer = await call('auth0|in')
    expect(answer.status).toBe(503)
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  })

  test('leaves what is wrong with the token itself to the JWT library', async () => {
    server = await open(known)
    expect((await fetch(server.url)).status).toBe(401)
  })
})

describe('a fetch-style server', () => {
  const keys = async () => createLocalJWKSet(await keySet())
  const keySet = async () => (await (await fetch(`${issuer.url}jwks`)).json()) as JSONWebKeySet
  const answerTo = async (client: LastLogoutClient, sub: string) => {
    const token = await issuer.sign({ sub, iat: Math.floor(Date.now() / 1000) - 60 })
    const { payload } = await jwtVerify(token, await keys())
    return forFetch(client)(payload)
  }

  test('is told null to go on, or what to answer', async () => {
    expect(await answerTo(known, 'auth0|in')).toBeNull()
    const refused = await answerTo(known, 'auth0|out')
    expect(refused?.status).toBe(401)
    expect(refused?.headers.get('www-authenticate')).toMatch(/^Bearer error="invalid_token"/)
    expect(await refused?.json()).toMatchObject({ error: 'invalid_token' })
    const unknown = await answerTo(blind, 'auth0|in')
    expect(unknown?.status).toBe(503)
    expect(unknown?.headers.get('retry-after')).toBe('5')
  })
})

describe('put in the wrong place', () => {
  test('Express answers 500, and no request gets around the check (P21)', async () => {
    const app = express()
    app.use(forExpress(known))
    app.get('/', (_req, res) => void res.json({}))
    app.use(((_error, _req, res, _next) => void res.status(500).end()) as ErrorRequestHandler)
    const server = await serve(app.listen(0, '127.0.0.1'))
    expect((await fetch(server.url)).status).toBe(500)
    await server.close()
  })

  test('Express lets requests without a token pass where they are said to be allowed', async () => {
    const app = express()
    app.use(auth({ issuerBaseURL: issuer.url, audience: AUDIENCE, authRequired: false }))
    app.use(forExpress(known, { authRequired: false }))
    app.get('/', (_req, res) => void res.json({}))
    const server = await serve(app.listen(0, '127.0.0.1'))
    expect((await fetch(server.url)).status).toBe(200)
    await server.close()
  })

  test('Fastify answers 500, and no request gets around the check (P21)', async () => {
    const app = Fastify()
    app.get('/', { preHandler: forFastify(known) }, async () => ({}))
    expect((await app.inject('/')).statusCode).toBe(500)
    await app.close()
  })
})
