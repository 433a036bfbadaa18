import type { ErrorRequestHandler, Express, RequestHandler } from 'express'
import express from 'express'
import { expressjwt } from 'express-jwt'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { isRevoked, lastLogout } from '../../src/client/express.js'
import type { LastLogoutClient } from '../../src/client/index.js'
import { openClient } from '../_support/client.js'
import { openFakeClient } from '../_support/fake-service.js'
import { requireInstalled } from '../_support/installed.js'
import { type Issuer, openIssuer } from '../_support/issuer.js'
import { waitUntilListening } from '../_support/protected-server.js'

type CreateMiddleware = (options: object) => RequestHandler

let issuer: Issuer
beforeAll(async () => {
  issuer = await openIssuer()
})
afterAll(() => issuer.close())

let client: LastLogoutClient
beforeEach(async () => {
  client = await openFakeClient()
})

const EXPRESS: [name: string, load: () => () => Express][] = [
  ['Express 4', () => requireInstalled('express-4')],
  ['Express 5', () => express],
]
const EXPRESS_JWT: [name: string, load: () => CreateMiddleware][] = [
  ['express-jwt 6', () => requireInstalled('express-jwt-6')],
  ['express-jwt 7', () => requireInstalled('express-jwt-7').expressjwt],
  ['express-jwt 8', () => expressjwt as CreateMiddleware],
]

/** Adds a route to an app, and requests the route with a token of a user. Only `auth0|out` has logged out. */
async function call(app: Express, sub: string) {
  // Express prints every error unless its setting `env` is `test`.
  app.set('env', 'test')
  app.get('/', (_req, res) => void res.send('passed'))
  const server = await waitUntilListening(app.listen(0, '127.0.0.1'))
  onTestFinished(() => server.close())
  const token = await issuer.sign({ sub, iat: Math.floor(Date.now() / 1000) - 60 })
  const headers = { authorization: `Bearer ${token}` }
  const response = await fetch(server.url, { headers, signal: AbortSignal.timeout(5_000) })
  const challenge = response.headers.get('www-authenticate')
  return { status: response.status, challenge, text: await response.text() }
}

const REVOKED_CHALLENGE = expect.stringMatching(/^Bearer error="invalid_token"/)

describe.each(EXPRESS)('%s', (_express, loadExpress) => {
  describe.each(EXPRESS_JWT)('with %s', (_expressJwt, loadExpressJwt) => {
    const openWithExpressJwt = (usedClient: LastLogoutClient) => {
      const app = loadExpress()()
      app.use(
        loadExpressJwt()({
          secret: issuer.publicPem,
          algorithms: ['RS256'],
          isRevoked: isRevoked(usedClient),
        }),
      )
      return app
    }

    test('isRevoked accepts a valid token, and causes a 401 for a revoked token and a 503 for an unknown status', async () => {
      expect(await call(openWithExpressJwt(client), 'auth0|in')).toMatchObject({
        status: 200,
        text: 'passed',
      })
      expect(await call(openWithExpressJwt(client), 'auth0|out')).toMatchObject({
        status: 401,
        challenge: REVOKED_CHALLENGE,
      })
      const disconnectedClient = openClient('http://127.0.0.1:1', { lookup: 'request' })
      expect(await call(openWithExpressJwt(disconnectedClient), 'auth0|in')).toMatchObject({
        status: 503,
      })
    })
  })

  /** Sets the claims of a logged-out user, like a JWT library. Ignores the token of the request. */
  const setClaims: RequestHandler = (req, _res, next) => {
    const iat = Math.floor(Date.now() / 1000) - 60
    Object.assign(req, { auth: { payload: { sub: 'auth0|out', iat } } })
    next()
  }
  const openWithMiddleware = () => {
    const app = loadExpress()()
    app.use(setClaims, lastLogout(client) as RequestHandler)
    return app
  }

  test('the middleware passes a refusal to the error handler of the app, and sends a 401 if the app has none', async () => {
    const app = openWithMiddleware()
    app.get('/', (_req, res) => void res.send('passed'))
    app.use(
      ((error, _req, res, _next) =>
        void res.status(error.status).send(error.code)) as ErrorRequestHandler,
    )
    expect(await call(app, 'unused')).toEqual({
      status: 401,
      challenge: REVOKED_CHALLENGE,
      text: 'invalid_token',
    })
    const responseWithoutHandler = await call(openWithMiddleware(), 'unused')
    expect(responseWithoutHandler).toMatchObject({ status: 401, challenge: REVOKED_CHALLENGE })
    expect(JSON.parse(responseWithoutHandler.text)).toMatchObject({ error: 'invalid_token' })
  })

  test('the response is a 401 with a challenge even if the error handler only passes the error on', async () => {
    const app = openWithMiddleware()
    app.use(((error, _req, _res, next) => next(error)) as ErrorRequestHandler)
    expect(await call(app, 'unused')).toMatchObject({ status: 401, challenge: REVOKED_CHALLENGE })
  })
})
