import { once } from 'node:events'
import { connect } from 'node:net'
import { beforeAll, describe, expect, test } from 'vitest'
import { bearer, listenOnLoopback } from '../_support/api.js'
import {
  gatewayKeys,
  loggedOut,
  openGatewayApi,
  staleSnapshot,
  useGatewayApi,
} from '../_support/gateway-api.js'

const keyHeader = { 'x-last-logout-key': gatewayKeys.forwardAuth.key }

const { t, api } = useGatewayApi()
let token: string
let url: URL
beforeAll(async () => {
  url = new URL(await listenOnLoopback(api.app))
  token = await t.signAccessToken()
})

const ask = (
  authorization: string | undefined,
  headers: Record<string, string> = keyHeader,
  request: { method?: string; url?: string; payload?: string; remoteAddress?: string } = {},
) =>
  api.app.inject({
    url: '/v1/forward-auth',
    headers: { ...headers, ...(authorization !== undefined && { authorization }) },
    ...(request as object),
  })
const askWith = async (claims: object) => ask(`Bearer ${await t.signAccessToken(claims as never)}`)

describe('/v1/forward-auth', () => {
  test('responds with 204 and the identity of the user, percent-encoded', async () => {
    const response = await askWith({ sub: 'samlp|corp|Jürgen, "x"', scope: 'read:a write:b' })
    expect(response.statusCode).toBe(204)
    expect(response.body).toBe('')
    expect(response.headers).toMatchObject({
      'cache-control': 'no-store',
      'x-last-logout-user': encodeURIComponent('samlp|corp|Jürgen, "x"'),
      'x-last-logout-client': 'SinglePageApp0000000000000000001',
      'x-last-logout-scope': 'read%3Aa%20write%3Ab',
    })
  })

  test('sends every identity header, so that none of the user remains', async () => {
    const response = await askWith({ azp: undefined, permissions: [], scope: undefined })
    expect(response.headers).toMatchObject({
      'x-last-logout-client': '',
      'x-last-logout-scope': '',
    })
  })

  test('responds with 401 to a revoked token, also if the data is stale', async () => {
    for (const snapshot of [loggedOut(), staleSnapshot(Date.now())]) {
      api.snapshot = snapshot
      const response = await ask(`Bearer ${token}`)
      expect(response.statusCode).toBe(401)
      expect(response.headers).toMatchObject({
        'cache-control': 'no-store',
        'www-authenticate':
          'Bearer error="invalid_token", error_description="the token was revoked by a logout"',
      })
      expect(response.headers).not.toHaveProperty('x-last-logout-user')
    }
  })

  test('responds with 401 to two tokens, of which the API could read the other one', async () => {
    const socket = connect(Number(url.port), '127.0.0.1')
    const line = `Authorization: Bearer ${token}\r\n`
    const key = `X-Last-Logout-Key: ${gatewayKeys.forwardAuth.key}\r\n`
    socket.end(
      `GET /v1/forward-auth HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${key}${line}${line}\r\n`,
    )
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    expect(String(chunk)).toMatch(/^HTTP\/1\.1 401 /)
  })

  test('responds with 204 to a machine token while the database is unavailable', async () => {
    api.snapshot = new Error('the database is unavailable')
    const response = await askWith({ sub: 'SinglePageApp0000000000000000001@clients' })
    expect(response.statusCode).toBe(204)
  })

  test('responds with 401 and no error code without a token', async () => {
    for (const authorization of [undefined, '', 'Basic eDp5', 'Bearer ', 'Bearer a b']) {
      const response = await ask(authorization)
      expect(response.statusCode).toBe(401)
      expect(response.headers['www-authenticate']).toBe('Bearer')
    }
  })

  test('responds with 401 to an invalid token', async () => {
    const response = await ask('Bearer x')
    expect(response.statusCode).toBe(401)
    expect(response.headers['www-authenticate']).toMatch(/^Bearer error="invalid_token", /)
    expect((await ask(`Bearer ${await t.signIdToken()}`)).statusCode).toBe(401)
  })

  test('refuses tokens that are bound to a key, because it cannot check the proof', async () => {
    expect((await askWith({ cnf: { jkt: 'x' } })).statusCode).toBe(401)
    const response = await ask(`DPoP ${token}`)
    expect(response.statusCode).toBe(401)
    expect(response.headers['www-authenticate']).toMatch('bound to a key')
  })

  test('responds with 503 and Retry-After if it is unknown whether the token is revoked', async () => {
    api.snapshot = staleSnapshot()
    const response = await ask(`Bearer ${token}`)
    expect(response.statusCode).toBe(503)
    expect(response.headers).toMatchObject({ 'retry-after': '5', 'cache-control': 'no-store' })
  })

  test.each(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'PROPFIND', 'PURGE'])(
    'takes the method %s, and any path below',
    async (method) => {
      const urls = ['', '/', '/orders/5?x=%2F', '//a/../b', '/v1/forward-auth', '/a%20b']
      for (const path of urls) {
        const request = { method, url: `/v1/forward-auth${path}` }
        expect((await ask(`Bearer ${token}`, keyHeader, request)).statusCode).toBe(204)
        expect((await ask(undefined, keyHeader, request)).statusCode).toBe(401)
        expect((await ask(`Bearer ${token}`, {}, request)).statusCode).toBe(403)
      }
    },
  )

  test.each(['application/json', 'text/plain', 'multipart/form-data', 'nonsense', ''])(
    'ignores a body of the type %j',
    async (type) => {
      const headers = { ...keyHeader, 'content-type': type }
      const request = { method: 'POST', payload: '{' }
      expect((await ask(`Bearer ${token}`, headers, request)).statusCode).toBe(204)
    },
  )

  test('responds with 200 if the gateway accepts no other status', async () => {
    const headers = { ...keyHeader, 'x-last-logout-success-status': '200' }
    const response = await ask(`Bearer ${token}`, headers)
    expect(response.statusCode).toBe(200)
    expect(response.headers).toMatchObject({ 'x-last-logout-user': 'auth0%7C123' })
    api.snapshot = loggedOut()
    expect((await ask(`Bearer ${token}`, headers)).statusCode).toBe(401)
  })

  test('closes the connection after a request whose body may be missing', async () => {
    /** Sends the head of a request without a body. Returns the response. */
    const send = async (...lines: string[]) => {
      const socket = connect(Number(url.port), url.hostname).setEncoding('latin1')
      const key = `x-last-logout-key: ${gatewayKeys.forwardAuth.key}`
      const head = [...lines, 'host: x', key, `authorization: Bearer ${token}`]
      socket.write(`${head.join('\r\n')}\r\n\r\n`)
      const [text] = await once(socket, 'data')
      socket.destroy()
      return String(text)
    }
    for (const method of ['GET', 'POST']) {
      const request = `${method} /v1/forward-auth HTTP/1.1`
      const response = await send(request, 'content-length: 9', 'content-type: text/plain')
      expect(response).toMatch(/^HTTP\/1\.1 204 /)
      expect(response).toMatch(/^connection: close\r$/im)
      expect(await send(request, 'content-length: 0')).not.toMatch(/^connection: close\r$/im)
    }
  })
})

describe('the key of a gateway', () => {
  test('is accepted in its own header only', async () => {
    expect((await ask(gatewayKeys.forwardAuth.key, {})).statusCode).toBe(403)
    const { authorization } = bearer(gatewayKeys.forwardAuth)
    expect((await ask(authorization, {})).statusCode).toBe(403)
  })

  test('must be known and have the role forward-auth, else the response is 403, never 401', async () => {
    const statusOf = async (key: string) =>
      (await ask(`Bearer ${token}`, { 'x-last-logout-key': key })).statusCode
    expect(await statusOf('x'.repeat(32))).toBe(403)
    expect(await statusOf('')).toBe(403)
    expect(await statusOf(gatewayKeys.introspect.key)).toBe(403)
    const unknown = await ask(`Bearer ${token}`, {})
    expect(unknown.json().message).toMatch('X-Last-Logout-Key')
  })

  test('wrong keys are counted, tokens of users are not', async () => {
    for (let n = 0; n < 50; n++) expect((await ask('Bearer wrong')).statusCode).toBe(401)
    // Without a key, the token does not count either.
    for (let n = 0; n < 50; n++) expect((await ask('Bearer wrong', {})).statusCode).toBe(403)
    const wrong = { 'x-last-logout-key': 'w'.repeat(32) }
    const from = { remoteAddress: '192.0.2.1' }
    for (let n = 0; n < 20; n++) {
      expect((await ask(`Bearer ${token}`, wrong, from)).statusCode).toBe(403)
    }
    expect((await ask(`Bearer ${token}`, wrong, from)).statusCode).toBe(429)
    expect((await ask(`Bearer ${token}`, keyHeader, from)).statusCode).toBe(204)
  })
})

test('tokens that users send are not measured as failed authentication', async () => {
  const failures: string[] = []
  const measured = await openGatewayApi(t, {
    metrics: {
      onResponse: () => {},
      onSubscriber: () => {},
      onFailedAuthentication: (reason) => void failures.push(reason),
      scrape: async () => ({ contentType: 'text/plain', text: '' }),
    },
  })
  const send = (headers: Record<string, string>) =>
    measured.app.inject({ url: '/v1/forward-auth', headers })
  await send({ ...keyHeader, authorization: 'Bearer wrong' })
  await send({ ...keyHeader })
  await send({ authorization: 'Bearer wrong' })
  await send({ 'x-last-logout-key': 'w'.repeat(32) })
  await send({ 'x-last-logout-key': gatewayKeys.introspect.key })
  await measured.app.close()
  expect(failures).toEqual(['no_key', 'unknown_key', 'lacks_role'])
})

test('no log line contains a token or a key', async () => {
  await ask(`Bearer ${token}`)
  await ask('Bearer wrong', { 'x-last-logout-key': 'w'.repeat(32) })
  api.snapshot = new Error('a bug')
  await ask(`Bearer ${token}`)
  const lines = api.app.lines.join('')
  expect(lines).toContain('request failed')
  expect(lines).not.toContain(token)
  expect(lines).not.toContain(gatewayKeys.forwardAuth.key)
})
