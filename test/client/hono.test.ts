import { type ErrorHandler, Hono, type MiddlewareHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { beforeEach, expect, test } from 'vitest'
import { lastLogout } from '../../src/client/hono.js'
import type { LastLogoutClient } from '../../src/client/index.js'
import { openClient } from '../_support/client.js'
import { openFakeClient } from '../_support/fake-service.js'
import { REVOKED_CHALLENGE, REVOKED_DESCRIPTION } from '../_support/revoked.js'

const REVOKED = {
  status: 401,
  challenge: REVOKED_CHALLENGE,
  retryAfter: null,
  text: JSON.stringify({ error: 'invalid_token', error_description: REVOKED_DESCRIPTION }),
}

/** Returns the claims of a token. Only `auth0|out` has logged out after it was issued. */
const claimsOf = (sub: string) => ({ sub, iat: Math.floor(Date.now() / 1000) - 60 })

let client: LastLogoutClient
let disconnectedClient: LastLogoutClient
beforeEach(async () => {
  client = await openFakeClient()
  disconnectedClient = openClient('http://127.0.0.1:1', { lookup: 'request' })
})

/** Sets the claims of a user, like hono/jwk. */
const setClaims =
  (sub: string): MiddlewareHandler =>
  async (c, next) => {
    c.set('jwtPayload', claimsOf(sub))
    await next()
  }

/** Sends a request to an app with these middlewares and a route. */
async function call(
  middlewares: MiddlewareHandler[],
  { onError, authorization = 'Bearer x' }: { onError?: ErrorHandler; authorization?: string } = {},
) {
  const app = new Hono()
  if (onError !== undefined) app.onError(onError)
  app.use(...middlewares)
  app.get('/', (c) => c.text('passed'))
  const response = await app.request('/', { headers: { authorization } })
  const { status, headers } = response
  const challenge = headers.get('www-authenticate')
  return { status, challenge, retryAfter: headers.get('retry-after'), text: await response.text() }
}

test('the Hono middleware accepts a user who has not logged out', async () => {
  const response = await call([setClaims('auth0|in'), lastLogout(client)])
  expect(response).toEqual({ status: 200, challenge: null, retryAfter: null, text: 'passed' })
})

test('the Hono middleware throws a refusal as an HTTPException, and Hono sends the response', async () => {
  expect(await call([setClaims('auth0|out'), lastLogout(client)])).toEqual(REVOKED)
  expect(await call([setClaims('auth0|in'), lastLogout(disconnectedClient)])).toMatchObject({
    status: 503,
    challenge: null,
    retryAfter: '5',
  })
})

test('app.onError receives the HTTPException, and can return the response in it', async () => {
  const onError: ErrorHandler = (error, c) =>
    error instanceof HTTPException ? error.getResponse() : c.text('other', 500)
  expect(await call([setClaims('auth0|out'), lastLogout(client)], { onError })).toEqual(REVOKED)
})

test('the response has the challenge even if app.onError ignores the response in the HTTPException', async () => {
  const onError: ErrorHandler = (error, c) => {
    const { status, message } = error as HTTPException
    return c.json({ problem: message }, status)
  }
  const response = await call([setClaims('auth0|out'), lastLogout(client)], { onError })
  expect(response).toEqual({ ...REVOKED, text: JSON.stringify({ problem: REVOKED_DESCRIPTION }) })
})

test('the Hono middleware sends a DPoP challenge if the request used DPoP', async () => {
  const options = { authorization: 'DPoP x' }
  const response = await call([setClaims('auth0|out'), lastLogout(client)], options)
  expect(response.challenge).toBe(REVOKED_CHALLENGE.replace('Bearer', 'DPoP'))
})

test('the Hono middleware fails for a request without verified claims', async () => {
  const errors: Error[] = []
  const onError: ErrorHandler = (error, c) => {
    errors.push(error)
    return c.text('failed', 500)
  }
  expect(await call([lastLogout(client)], { onError })).toMatchObject({ status: 500 })
  expect(errors).toEqual([expect.any(TypeError)])
  expect(errors[0]?.message).toContain("no verified claims in c.get('jwtPayload')")
})

test('the Hono middleware reads the claims with getClaims, which receives the typed context of the app', async () => {
  type App = { Variables: { claims: { sub: string; iat: number } } }
  const app = new Hono<App>()
  app.use(async (c, next) => {
    c.set('claims', claimsOf('auth0|out'))
    await next()
  })
  app.use(lastLogout<App>(client, { getClaims: (c) => c.get('claims') }))
  app.get('/', (c) => c.text(c.get('claims').sub))
  expect((await app.request('/')).status).toBe(401)
})
