import { setTimeout } from 'node:timers/promises'
import Koa, { type Context, type Middleware } from 'koa'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import type { LastLogoutClient } from '../../src/client/index.js'
import { lastLogout } from '../../src/client/koa.js'
import { openClient } from '../_support/client.js'
import { openFakeClient } from '../_support/fake-service.js'
import { waitUntilListening } from '../_support/protected-server.js'
import { REVOKED_CHALLENGE, REVOKED_DESCRIPTION } from '../_support/revoked.js'

/** Returns the claims of a token. Only `auth0|out` has logged out after it was issued. */
const claimsOf = (sub: string) => ({ sub, iat: Math.floor(Date.now() / 1000) - 60 })

let client: LastLogoutClient
let disconnectedClient: LastLogoutClient
beforeEach(async () => {
  client = await openFakeClient()
  disconnectedClient = openClient('http://127.0.0.1:1', { lookup: 'request' })
})

/** Sets the claims of a user, like a JWT library. */
const setClaims =
  (sub: string): Middleware =>
  (ctx, next) => {
    ctx.state.user = claimsOf(sub)
    return next()
  }

/** Sends a request to an app with these middlewares. Returns the response, and the errors that the app emits. */
async function call(middlewares: Middleware[], authorization = 'Bearer x') {
  const app = new Koa()
  const errors: Error[] = []
  app.on('error', (error) => errors.push(error))
  for (const middleware of middlewares) app.use(middleware)
  app.use(async (ctx) => {
    // Koa sends the response when the promise of the first middleware resolves.
    await setTimeout(1)
    ctx.body = 'passed'
  })
  const server = await waitUntilListening(app.listen(0, '127.0.0.1'))
  onTestFinished(() => server.close())
  const response = await fetch(server.url, { headers: { authorization } })
  const { status, headers } = response
  return {
    status,
    challenge: headers.get('www-authenticate'),
    retryAfter: headers.get('retry-after'),
    text: await response.text(),
    errors,
  }
}

test('the Koa middleware accepts a user who has not logged out', async () => {
  const response = await call([setClaims('auth0|in'), lastLogout(client)])
  expect(response).toMatchObject({ status: 200, text: 'passed', challenge: null, errors: [] })
})

test('the Koa middleware throws a refusal with ctx.throw, and Koa sends the response', async () => {
  expect(await call([setClaims('auth0|out'), lastLogout(client)])).toMatchObject({
    status: 401,
    challenge: REVOKED_CHALLENGE,
    retryAfter: null,
    text: REVOKED_DESCRIPTION,
  })
  expect(await call([setClaims('auth0|in'), lastLogout(disconnectedClient)])).toMatchObject({
    status: 503,
    challenge: null,
    retryAfter: '5',
    text: 'the revocation status of the token is unavailable',
  })
})

test('a refusal of the Koa middleware has the property expose, so that Koa does not log it', async () => {
  const { errors } = await call([setClaims('auth0|in'), lastLogout(disconnectedClient)])
  const expected = { status: 503, code: 'temporarily_unavailable', expose: true }
  expect(errors).toEqual([expect.objectContaining(expected)])
})

test('a middleware of the app can catch the refusal of the Koa middleware', async () => {
  const caughtErrors: unknown[] = []
  const catchErrors: Middleware = async (ctx, next) => {
    try {
      await next()
    } catch (error) {
      caughtErrors.push(error)
      ctx.status = 418
      ctx.body = 'caught'
    }
  }
  const response = await call([catchErrors, setClaims('auth0|out'), lastLogout(client)])
  // The response has the challenge, although this middleware ignores the headers of the error.
  expect(response).toMatchObject({ status: 418, text: 'caught', challenge: REVOKED_CHALLENGE })
  expect(caughtErrors).toEqual([
    expect.objectContaining({
      name: 'UnauthorizedError',
      status: 401,
      code: 'invalid_token',
      headers: { 'WWW-Authenticate': REVOKED_CHALLENGE },
      message: REVOKED_DESCRIPTION,
    }),
  ])
})

test('the Koa middleware sends a DPoP challenge if the request used DPoP', async () => {
  const response = await call([setClaims('auth0|out'), lastLogout(client)], 'DPoP x')
  expect(response.challenge).toBe(REVOKED_CHALLENGE.replace('Bearer', 'DPoP'))
})

test('the Koa middleware fails for a request without verified claims', async () => {
  const response = await call([lastLogout(client)])
  expect(response).toMatchObject({ status: 500, challenge: null })
  expect(response.errors).toEqual([expect.any(TypeError)])
  expect(response.errors[0]?.message).toContain('no verified claims in ctx.state.user')
})

test('the Koa middleware reads the claims with getClaims, which receives the typed context of the app', async () => {
  const verify: Middleware = (ctx, next) => {
    ctx.state.token = { payload: claimsOf('auth0|out') }
    return next()
  }
  const getClaims = (ctx: Context) => ctx.state.token.payload
  expect(await call([verify, lastLogout(client, { getClaims })])).toMatchObject({ status: 401 })
})
