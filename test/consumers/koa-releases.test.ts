import type { Middleware } from 'koa'
import Koa from 'koa'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { LastLogoutClient } from '../../src/client/index.js'
import { lastLogout } from '../../src/client/koa.js'
import { openClient } from '../_support/client.js'
import { openFakeClient } from '../_support/fake-service.js'
import { requireInstalled } from '../_support/installed.js'
import { type Issuer, openIssuer } from '../_support/issuer.js'
import { waitUntilListening } from '../_support/protected-server.js'

let issuer: Issuer
beforeAll(async () => {
  issuer = await openIssuer()
})
afterAll(() => issuer.close())

let client: LastLogoutClient
beforeEach(async () => {
  client = await openFakeClient()
})

const KOA: [name: string, load: () => new () => Koa][] = [
  ['Koa 2', () => requireInstalled('koa-2')],
  ['Koa 3', () => Koa],
]

const NOW_SECONDS = Math.floor(Date.now() / 1000)

describe.each(KOA)('%s after koa-jwt', (_case, loadKoa) => {
  /**
   * Sends a request with a token of these claims to an app; `null`: without a token. Only `auth0|out` has logged out.
   */
  async function call(
    claims: object | null,
    options: { isTokenOptional?: boolean; usedClient?: LastLogoutClient } = {},
  ) {
    const { isTokenOptional = false, usedClient = client } = options
    const app = new (loadKoa())()
    const verify: Middleware = requireInstalled('koa-jwt')({
      secret: issuer.publicPem,
      algorithms: ['RS256'],
      passthrough: isTokenOptional,
    })
    app.use(verify).use(lastLogout(usedClient, { authRequired: !isTokenOptional }))
    app.use((ctx) => {
      ctx.body = 'passed'
    })
    const server = await waitUntilListening(app.listen(0, '127.0.0.1'))
    onTestFinished(() => server.close())
    const headers = new Headers()
    if (claims !== null) headers.set('authorization', `Bearer ${await issuer.sign({ ...claims })}`)
    const response = await fetch(server.url, { headers })
    const challenge = response.headers.get('www-authenticate')
    await response.body?.cancel()
    return { status: response.status, challenge, retryAfter: response.headers.get('retry-after') }
  }

  const REVOKED_CHALLENGE = expect.stringMatching(/^Bearer error="invalid_token"/)

  test('the Koa middleware accepts a valid token, and causes a 401 for a revoked token and a 503 for an unknown status', async () => {
    expect(await call({ sub: 'auth0|in', iat: NOW_SECONDS - 60 })).toMatchObject({ status: 200 })
    expect(await call({ sub: 'auth0|out', iat: NOW_SECONDS - 60 })).toMatchObject({
      status: 401,
      challenge: REVOKED_CHALLENGE,
    })
    const usedClient = openClient('http://127.0.0.1:1', { lookup: 'request' })
    const response = await call({ sub: 'auth0|in', iat: NOW_SECONDS - 60 }, { usedClient })
    expect(response).toEqual({ status: 503, challenge: null, retryAfter: '5' })
  })

  test('with authRequired: false, the Koa middleware accepts a request without a token, but refuses revoked and expired tokens', async () => {
    const options = { isTokenOptional: true }
    expect(await call(null, options)).toMatchObject({ status: 200 })
    expect(await call({ sub: 'auth0|in', iat: NOW_SECONDS - 60 }, options)).toMatchObject({
      status: 200,
    })
    const refusedClaims = [
      { sub: 'auth0|out', iat: NOW_SECONDS - 60 },
      { sub: 'auth0|in', iat: NOW_SECONDS - 60, exp: NOW_SECONDS - 30 },
    ]
    for (const claims of refusedClaims) {
      expect(await call(claims, options)).toMatchObject({
        status: 401,
        challenge: REVOKED_CHALLENGE,
      })
    }
  })
})
