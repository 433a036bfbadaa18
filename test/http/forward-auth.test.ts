import { once } from 'node:events'
import { connect } from 'node:net'
import { beforeAll, describe, expect, test } from 'vitest'
import { bearer, listenOnLoopback } from '../_support/api.js'
import {
  gatewayKeys,
  loggedOutSnapshot,
  openGatewayApi,
  staleSnapshot,
  useGatewayApi,
} from '../_support/gateway-api.js'

const keyHeader = { 'x-last-logout-key': gatewayKeys.forwardAuth.key }

const { tokens, api } = useGatewayApi()
let token: string
let url: URL
beforeAll(async () => {
  url = new URL(await listenOnLoopback(api.app))
  token = await tokens.signAccessToken()
})

/** Sends a request to /v1/forward-auth, like a gateway. */
const forwardAuth = (
  authorization: string | undefined,
  headers: Record<string, string> = keyHeader,
  request: { method?: string; url?: string; payload?: string; remoteAddress?: string } = {},
) =>
  api.app.inject({
    url: '/v1/forward-auth',
    headers: { ...headers, ...(authorization !== undefined && { authorization }) },
    ...(request as object),
  })
/** Sends a request with a valid token of these claims. */
const forwardAuthWith = async (claims: object) =>
  forwardAuth(`Bearer ${await tokens.signAccessToken(claims as never)}`)

describe('/v1/forward-auth', () => {
  test('the API responds with 204 and the identity of the user, percent-encoded', async () => {
    const response = await forwardAuthWith({
      sub: 'samlp|corp|Jürgen, "x"',
      scope: 'read:a write:b',
    })
    expect(response.statusCode).toBe(204)
    expect(response.body).toBe('')
    expect(response.headers).toMatchObject({
      'cache-control': 'no-store',
      'x-last-logout-user': encodeURIComponent('samlp|corp|Jürgen, "x"'),
      'x-last-logout-client': 'SinglePageApp0000000000000000001',
      'x-last-logout-scope': 'read%3Aa%20write%3Ab',
    })
  })

  test('the API sends all identity headers, even if their claims are missing', async () => {
    const response = await forwardAuthWith({ azp: undefined, permissions: [], scope: undefined })
    expect(response.headers).toMatchObject({
      'x-last-logout-client': '',
      'x-last-logout-scope': '',
    })
  })

  test('the API responds with 401 to a revoked token, even if the data is stale', async () => {
    for (const snapshot of [loggedOutSnapshot(), staleSnapshot(Date.now())]) {
      api.snapshot = snapshot
      const response = await forwardAuth(`Bearer ${token}`)
      expect(response.statusCode).toBe(401)
      expect(response.headers).toMatchObject({
        'cache-control': 'no-store',
        'www-authenticate':
          'Bearer error="invalid_token", error_description="the token was revoked by a logout"',
      })
      expect(response.headers).not.toHaveProperty('x-last-logout-user')
    }
  })

  test('the API responds with 401 to two Authorization headers', async () => {
    const socket = connect(Number(url.port), '127.0.0.1')
    const tokenLine = `Authorization: Bearer ${token}\r\n`
    const keyLine = `X-Last-Logout-Key: ${gatewayKeys.forwardAuth.key}\r\n`
    const requestLines = 'GET /v1/forward-auth HTTP/1.1\r\nHost: x\r\nConnection: close\r\n'
    socket.end(`${requestLines}${keyLine}${tokenLine}${tokenLine}\r\n`)
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    expect(String(chunk)).toMatch(/^HTTP\/1\.1 401 /)
  })

  test('the API responds with 204 to a machine token while the database is unavailable', async () => {
    api.snapshot = new Error('the database is unavailable')
    const response = await forwardAuthWith({ sub: 'SinglePageApp0000000000000000001@clients' })
    expect(response.statusCode).toBe(204)
  })

  test('the API responds with 401, but without an error code, to a request without a token', async () => {
    for (const authorization of [undefined, '', 'Basic eDp5', 'Bearer ', 'Bearer a b']) {
      const response = await forwardAuth(authorization)
      expect(response.statusCode).toBe(401)
      expect(response.headers['www-authenticate']).toBe('Bearer')
    }
  })

  test('the API responds with 401 to an invalid token', async () => {
    const response = await forwardAuth('Bearer x')
    expect(response.statusCode).toBe(401)
    expect(response.headers['www-authenticate']).toMatch(/^Bearer error="invalid_token", /)
    expect((await forwardAuth(`Bearer ${await tokens.signIdToken()}`)).statusCode).toBe(401)
  })

  test('the API responds with 401 to a token that is bound to a DPoP key', async () => {
    expect((await forwardAuthWith({ cnf: { jkt: 'x' } })).statusCode).toBe(401)
    const response = await forwardAuth(`DPoP ${token}`)
    expect(response.statusCode).toBe(401)
    expect(response.headers['www-authenticate']).toMatch('bound to a key')
  })

  test('the API responds with 503 and Retry-After if it is unknown whether the token is revoked', async () => {
    api.snapshot = staleSnapshot()
    const response = await forwardAuth(`Bearer ${token}`)
    expect(response.statusCode).toBe(503)
    expect(response.headers).toMatchObject({ 'retry-after': '5', 'cache-control': 'no-store' })
  })

  test.each(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'PROPFIND', 'PURGE'])(
    'the API accepts the method %s and an appended path',
    async (method) => {
      const paths = ['', '/', '/orders/5?x=%2F', '//a/../b', '/v1/forward-auth', '/a%20b']
      for (const path of paths) {
        const request = { method, url: `/v1/forward-auth${path}` }
        expect((await forwardAuth(`Bearer ${token}`, keyHeader, request)).statusCode).toBe(204)
        expect((await forwardAuth(undefined, keyHeader, request)).statusCode).toBe(401)
        expect((await forwardAuth(`Bearer ${token}`, {}, request)).statusCode).toBe(403)
      }
    },
  )

  test.each(['application/json', 'text/plain', 'multipart/form-data', 'nonsense', ''])(
    'the API ignores a body of the type %j',
    async (type) => {
      const headers = { ...keyHeader, 'content-type': type }
      const request = { method: 'POST', payload: '{' }
      expect((await forwardAuth(`Bearer ${token}`, headers, request)).statusCode).toBe(204)
    },
  )

  test('the API responds with 200 instead of 204 if the gateway requests this', async () => {
    const headers = { ...keyHeader, 'x-last-logout-success-status': '200' }
    const response = await forwardAuth(`Bearer ${token}`, headers)
    expect(response.statusCode).toBe(200)
    expect(response.headers).toMatchObject({ 'x-last-logout-user': 'auth0%7C123' })
    api.snapshot = loggedOutSnapshot()
    expect((await forwardAuth(`Bearer ${token}`, headers)).statusCode).toBe(401)
  })

  test('the API closes the connection after a request with a Content-Length above 0', async () => {
    /** Sends the headers of a request, but no body. Returns the response. */
    const sendHeaders = async (...lines: string[]) => {
      const socket = connect(Number(url.port), url.hostname).setEncoding('latin1')
      const keyLine = `x-last-logout-key: ${gatewayKeys.forwardAuth.key}`
      const headerLines = [...lines, 'host: x', keyLine, `authorization: Bearer ${token}`]
      socket.write(`${headerLines.join('\r\n')}\r\n\r\n`)
      const [text] = await once(socket, 'data')
      socket.destroy()
      return String(text)
    }
    for (const method of ['GET', 'POST']) {
      const request = `${method} /v1/forward-auth HTTP/1.1`
      const response = await sendHeaders(request, 'content-length: 9', 'content-type: text/plain')
      expect(response).toMatch(/^HTTP\/1\.1 204 /)
      expect(response).toMatch(/^connection: close\r$/im)
      expect(await sendHeaders(request, 'content-length: 0')).not.toMatch(/^connection: close\r$/im)
    }
  })
})

describe('the key of a gateway', () => {
  test('the API accepts the key of a gateway only in X-Last-Logout-Key', async () => {
    expect((await forwardAuth(gatewayKeys.forwardAuth.key, {})).statusCode).toBe(403)
    const { authorization } = bearer(gatewayKeys.forwardAuth)
    expect((await forwardAuth(authorization, {})).statusCode).toBe(403)
  })

  test('the API responds with 403, never with 401, to a key that is unknown or lacks the role forward-auth', async () => {
    const statusOf = async (key: string) =>
      (await forwardAuth(`Bearer ${token}`, { 'x-last-logout-key': key })).statusCode
    expect(await statusOf('x'.repeat(32))).toBe(403)
    expect(await statusOf('')).toBe(403)
    expect(await statusOf(gatewayKeys.introspect.key)).toBe(403)
    const responseWithoutKey = await forwardAuth(`Bearer ${token}`, {})
    expect(responseWithoutKey.json().message).toMatch('X-Last-Logout-Key')
  })

  test('the API responds with 429 after twenty wrong keys, but wrong tokens of users do not count', async () => {
    for (let n = 0; n < 50; n++) expect((await forwardAuth('Bearer wrong')).statusCode).toBe(401)
    for (let n = 0; n < 50; n++)
      expect((await forwardAuth('Bearer wrong', {})).statusCode).toBe(403)
    const wrongKey = { 'x-last-logout-key': 'w'.repeat(32) }
    const otherAddress = { remoteAddress: '192.0.2.1' }
    for (let n = 0; n < 20; n++) {
      expect((await forwardAuth(`Bearer ${token}`, wrongKey, otherAddress)).statusCode).toBe(403)
    }
    expect((await forwardAuth(`Bearer ${token}`, wrongKey, otherAddress)).statusCode).toBe(429)
    expect((await forwardAuth(`Bearer ${token}`, keyHeader, otherAddress)).statusCode).toBe(204)
  })
})

test('wrong keys are measured as failed authentication, but wrong tokens of users are not', async () => {
  const failures: string[] = []
  const apiWithMetrics = await openGatewayApi(tokens, {
    metrics: {
      onResponse: () => {},
      onSubscriber: () => {},
      onFailedAuthentication: (reason) => void failures.push(reason),
      scrape: async () => ({ contentType: 'text/plain', text: '' }),
    },
  })
  const send = (headers: Record<string, string>) =>
    apiWithMetrics.app.inject({ url: '/v1/forward-auth', headers })
  await send({ ...keyHeader, authorization: 'Bearer wrong' })
  await send({ ...keyHeader })
  await send({ authorization: 'Bearer wrong' })
  await send({ 'x-last-logout-key': 'w'.repeat(32) })
  await send({ 'x-last-logout-key': gatewayKeys.introspect.key })
  await apiWithMetrics.app.close()
  expect(failures).toEqual(['no_key', 'unknown_key', 'lacks_role'])
})

test('no log line contains a token or a key', async () => {
  await forwardAuth(`Bearer ${token}`)
  await forwardAuth('Bearer wrong', { 'x-last-logout-key': 'w'.repeat(32) })
  api.snapshot = new Error('a bug')
  await forwardAuth(`Bearer ${token}`)
  const lines = api.app.logLines.join('')
  expect(lines).toContain('request failed')
  expect(lines).not.toContain(token)
  expect(lines).not.toContain(gatewayKeys.forwardAuth.key)
})
