import { initTRPC } from '@trpc/server'
import { fetchRequestHandler } from '@trpc/server/adapters/fetch'
import { beforeEach, describe, expect, test } from 'vitest'
import type { LastLogoutClient } from '../../src/client/index.js'
import { lastLogout, responseMeta } from '../../src/client/trpc.js'
import { openClient } from '../_support/client.js'
import { openFakeClient } from '../_support/fake-service.js'
import { REVOKED_CHALLENGE, REVOKED_DESCRIPTION } from '../_support/revoked.js'

interface Context {
  claims: { sub: string; iat: number; cnf?: { jkt: string } } | null
}

/** In the fake service, only `auth0|out` has logged out. */
const iat = Math.floor(Date.now() / 1000) - 60
const LOGGED_OUT = { sub: 'auth0|out', iat }
const LOGGED_IN = { sub: 'auth0|in', iat }

let client: LastLogoutClient
beforeEach(async () => {
  client = await openFakeClient()
})
const disconnectedClient = openClient('http://127.0.0.1:1', { lookup: 'request' })

/** Calls a procedure of a router through an HTTP adapter. The procedures `orders` and `greeting` use the middleware. */
async function call(
  claims: Context['claims'],
  { usedClient = client, path = 'orders', headers = {} as Record<string, string> } = {},
) {
  const t = initTRPC.context<Context>().create()
  const getClaims = (ctx: Context) => ctx.claims
  const router = t.router({
    orders: t.procedure
      .use(({ ctx, next }) => next({ ctx: { user: ctx.claims?.sub } }))
      .use(lastLogout(usedClient, { getClaims: (ctx) => ctx.claims }))
      .query(({ ctx }) => ctx.user),
    greeting: t.procedure
      .use(lastLogout(usedClient, { getClaims, authRequired: false }))
      .query(() => 'hello'),
    public: t.procedure.query(() => 'public'),
  })
  const response = await fetchRequestHandler({
    endpoint: '',
    req: new Request(`http://api/${path}`, { headers }),
    router,
    createContext: () => ({ claims }),
    responseMeta,
  })
  const { status, headers: responseHeaders } = response
  const text = await response.text()
  const [challenge, retryAfter] = [
    responseHeaders.get('www-authenticate'),
    responseHeaders.get('retry-after'),
  ]
  return { status, challenge, retryAfter, text }
}

describe('the tRPC middleware', () => {
  test('the tRPC middleware keeps the context of the previous middleware for an accepted token', async () => {
    const { status, text } = await call(LOGGED_IN)
    expect(status).toBe(200)
    expect(JSON.parse(text)).toEqual({ result: { data: 'auth0|in' } })
  })

  test('the tRPC middleware throws UNAUTHORIZED for a revoked token', async () => {
    const { text, ...response } = await call(LOGGED_OUT)
    expect(response).toEqual({ status: 401, challenge: REVOKED_CHALLENGE, retryAfter: null })
    expect(JSON.parse(text).error).toMatchObject({
      message: REVOKED_DESCRIPTION,
      data: { code: 'UNAUTHORIZED' },
    })
  })

  test('the tRPC middleware throws SERVICE_UNAVAILABLE for an unknown revocation status', async () => {
    const { text, ...response } = await call(LOGGED_IN, { usedClient: disconnectedClient })
    expect(response).toEqual({ status: 503, challenge: null, retryAfter: '5' })
    expect(JSON.parse(text).error.data).toMatchObject({ code: 'SERVICE_UNAVAILABLE' })
  })

  test('the tRPC middleware sends a DPoP challenge if the token is bound to a DPoP key', async () => {
    const { challenge } = await call({ ...LOGGED_OUT, cnf: { jkt: 'a-thumbprint' } })
    expect(challenge).toBe(REVOKED_CHALLENGE.replace('Bearer', 'DPoP'))
  })

  test('the tRPC middleware fails for a call without verified claims, so that no call bypasses the check (pitfall 21)', async () => {
    const { status, text } = await call(null)
    expect(status).toBe(500)
    expect(JSON.parse(text).error.message).toMatch(/no verified claims in the result of getClaims/)
  })

  test('with authRequired: false, the tRPC middleware accepts a call without a token, and checks a call with a token', async () => {
    expect(await call(null, { path: 'greeting' })).toMatchObject({ status: 200 })
    expect(await call(LOGGED_OUT, { path: 'greeting' })).toMatchObject({ status: 401 })
  })

  test('responseMeta adds the headers of a refusal to the response to a batch', async () => {
    const { text, ...response } = await call(LOGGED_OUT, { path: 'public,orders?batch=1' })
    expect(response).toEqual({ status: 207, challenge: REVOKED_CHALLENGE, retryAfter: null })
    expect(JSON.parse(text)).toMatchObject([{ result: {} }, { error: {} }])
  })

  test('the tRPC middleware refuses a call of a streamed batch after the status and the headers were sent', async () => {
    const { text, ...response } = await call(LOGGED_OUT, {
      path: 'public,orders?batch=1',
      headers: { 'trpc-accept': 'application/jsonl' },
    })
    expect(response).toEqual({ status: 200, challenge: null, retryAfter: null })
    expect(text).toContain('UNAUTHORIZED')
    expect(text).not.toContain('auth0|out')
  })
})
