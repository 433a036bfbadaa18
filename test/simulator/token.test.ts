import { describe, expect, test } from 'vitest'
import { createTenant } from '../../src/simulator/tenant.js'
import { DOMAIN } from '../_support/tenant.js'
import { grant, NOON, start } from './start.js'

describe('POST /oauth/token', () => {
  test.each(['json', 'form'])(
    'the token endpoint grants a token for a request in %s',
    async (encoding) => {
      const { simulator, fetch } = await start({ expiresInSeconds: 600 })
      const init =
        encoding === 'form'
          ? { body: new URLSearchParams(grant(simulator)) }
          : {
              body: JSON.stringify(grant(simulator)),
              headers: { 'content-type': 'application/json' },
            }
      const response = await fetch('/oauth/token', { method: 'POST', ...init })
      expect(response.status).toBe(200)
      const body = (await response.json()) as { access_token: string }
      expect(body).toEqual({
        access_token: expect.any(String),
        scope: 'read:logs read:logs_users',
        expires_in: 600,
        token_type: 'Bearer',
      })
      const headers = { authorization: `Bearer ${body.access_token}` }
      expect((await fetch('/api/v2/logs', { headers })).status).toBe(200)
    },
  )

  test.each([
    [{ client_secret: 'wrong' }, 401, 'access_denied', 'Unauthorized'],
    [{ client_id: 'unknown' }, 401, 'access_denied', 'Unauthorized'],
    [{ audience: 'https://api.example.com' }, 403, 'access_denied', expect.any(String)],
    [{ grant_type: 'password' }, 403, 'unsupported_grant_type', expect.any(String)],
  ])('the token endpoint refuses %j with %i', async (wrongFields, status, error, description) => {
    const { token } = await start()
    const response = await token(wrongFields)
    expect(response.status).toBe(status)
    expect(await response.json()).toEqual({ error, error_description: description })
  })

  test.each(['', '[]', '{'])('the token endpoint refuses the body %j', async (body) => {
    const { fetch } = await start()
    const headers = { 'content-type': 'application/json' }
    const response = await fetch('/oauth/token', { method: 'POST', headers, body })
    expect(response.status).toBeGreaterThanOrEqual(400)
    expect(response.status).toBeLessThan(500)
  })

  test('the token endpoint writes an entry to the log for each issued token, as Auth0 does, but not for a refusal', async () => {
    const { tenant, token } = await start({ logTokenExchanges: true })
    await token({ client_secret: 'wrong' })
    await token()
    // The first entry is for the token that `start` requested.
    const entries = tenant.entries()
    expect(entries).toHaveLength(2)
    // `seccft` is Auth0's event type for a client that got a token with its own credentials.
    expect(entries[1]).toMatchObject({
      type: 'seccft',
      date: '2026-03-01T12:00:00.000Z',
      audience: `https://${DOMAIN}/api/v2/`,
      scope: 'read:logs read:logs_users',
      connection: null,
      details: null,
      user_id: '',
    })
  })

  test('the token endpoint writes no entry if logTokenExchanges is false', async () => {
    const { tenant, token } = await start({ logTokenExchanges: false })
    await token()
    expect(tenant.entries()).toEqual([])
  })
})

describe('the bearer token', () => {
  test.each([
    [undefined, 'Missing authentication'],
    ['Bearer unknown', 'Invalid token'],
    ['Basic dXNlcjpwYXNz', 'Invalid token'],
  ])('a request with the Authorization header %s gets 401', async (authorization, message) => {
    const { fetch } = await start()
    const headers = authorization === undefined ? {} : { authorization }
    const response = await fetch('/api/v2/logs', { headers })
    expect(response.status).toBe(401)
    expect(await response.json()).toMatchObject({
      statusCode: 401,
      error: 'Unauthorized',
      message,
    })
  })

  test('an expired token gets 401', async () => {
    const { clock, logs } = await start({ expiresInSeconds: 60 })
    clock.ms = NOON + 59_999
    expect((await logs()).status).toBe(200)
    clock.ms = NOON + 60_000
    const response = await logs()
    expect(response.status).toBe(401)
    expect(await response.json()).toMatchObject({
      message: 'Expired token received for JSON Web Token validation',
    })
  })

  test('a token is valid for a day by default', async () => {
    const { token } = await start()
    const secondsPerDay = 24 * 60 * 60
    expect(await (await token()).json()).toMatchObject({ expires_in: secondsPerDay })
  })

  test('a token without the scope read:logs gets 403', async () => {
    const { logs } = await start({ scopes: ['read:users'] })
    const response = await logs()
    expect(response.status).toBe(403)
    expect(await response.json()).toEqual({
      statusCode: 403,
      error: 'Forbidden',
      message: 'Insufficient scope, expected any of: read:logs',
      errorCode: 'insufficient_scope',
    })
  })

  test('a token is valid only at the simulator that issued it', async () => {
    const first = await start()
    const second = await start({ tenant: createTenant({ domain: DOMAIN }) })
    const { access_token } = (await (await first.token()).json()) as { access_token: string }
    const headers = { authorization: `Bearer ${access_token}` }
    expect((await second.fetch('/api/v2/logs', { headers })).status).toBe(401)
  })
})
