import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, request as httpRequest, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { LastLogoutError } from '../../src/errors.js'
import { listenOnLoopback } from '../_support/api.js'
import {
  type GatewayApi,
  gatewayKeys,
  loggedOutSnapshot,
  openGatewayApi,
  snapshotWith,
  staleSnapshot,
} from '../_support/gateway-api.js'
import { type LoopbackServer, openLoopback } from '../_support/loopback.js'
import {
  CLIENT_ID,
  nowSeconds,
  openTenantTokens,
  type TenantTokens,
} from '../_support/tenant-tokens.js'
import { type Certificates, openCertificates } from '../_support/tls.js'
import { type GatewayName, type RunningGateway, startGateway } from './gateway-programs.js'

/*
 * A gateway is a proxy in front of an API. It sends the token of each request to last-logout, and forwards the request
 * only if the token is valid and not revoked. The same tests run for each gateway, in the order of this file.
 */

/** A gateway, and the statuses with which it refuses requests, if they differ between the gateways. */
interface GatewayCase {
  name: GatewayName
  /** The status if last-logout does not know whether the token is revoked. */
  unknownStatus: number
  /** The status if last-logout is unreachable. */
  unreachableStatus: number
  /** The status for an OPTIONS request without a token that is not a CORS preflight. */
  optionsStatus: number
}

const GATEWAYS: GatewayCase[] = [
  { name: 'nginx', unknownStatus: 503, unreachableStatus: 503, optionsStatus: 401 },
  { name: 'HAProxy', unknownStatus: 503, unreachableStatus: 503, optionsStatus: 401 },
  { name: 'Caddy', unknownStatus: 503, unreachableStatus: 502, optionsStatus: 401 },
  // mod_auth_openidc responds with 401 if the introspection fails.
  { name: 'Apache', unknownStatus: 401, unreachableStatus: 401, optionsStatus: 403 },
]

/** The API keys with which the gateways call last-logout. Apache uses the endpoint for introspection. */
const { key: forwardAuthKey } = gatewayKeys.forwardAuth
const { key: introspectionKey } = gatewayKeys.introspect

/**
 * Headers with which the gateway describes the user to the API, or which it exchanges with last-logout. A user sends
 * them with false values, which the API must not receive.
 */
const SPOOFED_HEADERS = {
  'x-last-logout-user': 'auth0%7Cadmin',
  'x-last-logout-client': 'admin',
  'x-last-logout-scope': 'admin',
  'x-last-logout-key': 'spoofed',
  'x-last-logout-success-status': '200',
}

/** Header names with underscores. Some servers treat them like the names in {@link SPOOFED_HEADERS}. */
const ALIASES = [
  'x_last_logout_user',
  'x-last_logout-client',
  'x-last-logout_scope',
  'x_last-logout_user',
]

/** Similar names with other characters. Apache forwards these headers, so it is not tested with them. */
const OTHER_ALIASES = ['x.last.logout.user', 'x-last-logout!user', 'x~last-logout-user']

/** A request that the API behind the gateway received. */
interface ReceivedRequest {
  method: string
  url: string
  headers: Record<string, string>
  body: string
}

let tenantTokens: TenantTokens
let certificates: Certificates
/** The API behind the gateway. */
let upstream: LoopbackServer
let receivedRequests: ReceivedRequest[] = []
beforeAll(async () => {
  tenantTokens = await openTenantTokens()
  certificates = await openCertificates()
  const server = createServer(async (request, response) => {
    const { method = '', url = '', headers } = request
    receivedRequests.push({ method, url, headers: headers as never, body: await text(request) })
    response.end('orders')
  })
  // Accepts every protocol that a request asks for, and then sends back what it receives.
  server.on('upgrade', ({ method = '', url = '', headers }: IncomingMessage, socket: Socket) => {
    receivedRequests.push({ method, url, headers: headers as never, body: '' })
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${headers.upgrade}\r\nSec-WebSocket-Accept: ${acceptKey(headers['sec-websocket-key'])}\r\n\r\n`,
    )
    socket.on('error', () => {}).pipe(socket)
  })
  upstream = await openLoopback(server)
})
afterAll(async () => {
  await upstream.close()
  await certificates.remove()
  await tenantTokens.close()
})
afterEach(() => {
  receivedRequests = []
})

describe.each(GATEWAYS)('$name with its configuration in deploy/gateways', (gatewayCase) => {
  /** The API of last-logout. It judges tokens by the logouts in `api.snapshot`. */
  let api: GatewayApi
  let gateway: RunningGateway
  let authorization: string
  beforeAll(async () => {
    api = await openGatewayApi(tenantTokens)
    gateway = await startGateway(gatewayCase.name, {
      lastLogoutUrl: await listenOnLoopback(api.app),
      upstreamUrl: upstream.url,
      key: gatewayCase.name === 'Apache' ? introspectionKey : forwardAuthKey,
      certificates,
    })
    authorization = `Bearer ${await tenantTokens.signAccessToken({ sub: 'samlp|corp|Jürgen' })}`
  })
  afterAll(async () => {
    await gateway?.close()
    await api?.app.close()
  })
  afterEach(() => {
    api.snapshot = snapshotWith()
  })

  /** Sends a request to the gateway. Default: with a valid token, by GET. */
  const send = (headers: Record<string, string> = { authorization }, init: RequestInit = {}) =>
    fetch(new URL('orders/5?x=%2F', gateway.url), { headers, ...init })
  /** Expects this status, the header retry-after if the status is 503, and that the API has received no request. */
  const expectRefusal = (response: Response, status: number) => {
    expect(response.status).toBe(status)
    if (status === 503) expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(receivedRequests).toEqual([])
  }

  test('the gateway forwards a request with a valid token, sets the headers about the user, and does not forward its API key', async () => {
    const response = await send({ authorization, ...SPOOFED_HEADERS })
    expect(response.status).toBe(200)
    expect(await response.text()).toBe('orders')
    expect(receivedRequests).toMatchObject([
      { method: 'GET', url: '/orders/5?x=%2F', headers: { authorization } },
    ])
    const { headers = {} } = receivedRequests[0] ?? {}
    expect(decodeURIComponent(headers['x-last-logout-user'] ?? '')).toBe('samlp|corp|Jürgen')
    expect(headers['x-last-logout-client']).toBe(CLIENT_ID)
    expect(decodeURIComponent(headers['x-last-logout-scope'] ?? '')).toBe('read:orders')
    expect(Object.values(headers).join()).not.toMatch(/admin|spoofed/)
    expect(Object.values(headers).join()).not.toContain(forwardAuthKey)
  })

  const aliasesToTest = [...ALIASES, ...(gatewayCase.name === 'Apache' ? [] : OTHER_ALIASES)]
  test.each(aliasesToTest)(
    'the API does not receive the value of the header %s from a user',
    async (name) => {
      const url = new URL('orders', gateway.url)
      const preflight = { origin: 'https://app.example', 'access-control-request-method': 'POST' }
      await request(url, 'GET', { authorization, [name]: 'auth0%7Cadmin' })
      await request(url, 'OPTIONS', { ...preflight, [name]: 'auth0%7Cadmin' })
      for (const { headers } of receivedRequests)
        expect(Object.values(headers).join()).not.toMatch(/admin/)
      expect(receivedRequests).toHaveLength(2)
    },
  )

  test('if a token has no client and no scope, the API does not receive a client and a scope from the headers of the user', async () => {
    const token = await tenantTokens.signAccessToken({
      azp: undefined,
      permissions: [],
      scope: undefined,
    })
    expect((await send({ authorization: `Bearer ${token}`, ...SPOOFED_HEADERS })).status).toBe(200)
    expect(receivedRequests[0]?.headers['x-last-logout-client'] ?? '').toBe('')
    expect(receivedRequests[0]?.headers['x-last-logout-scope'] ?? '').toBe('')
  })

  test.each([
    ['no token', async () => ({})],
    ['a text that is not a token', async () => ({ authorization: 'Bearer x' })],
    ['an ID token', async () => ({ authorization: `Bearer ${await tenantTokens.signIdToken()}` })],
    [
      'an expired token',
      async () => {
        const token = await tenantTokens.signAccessToken({ exp: nowSeconds() - 1 })
        return { authorization: `Bearer ${token}` }
      },
    ],
  ])('the gateway responds with 401 to a request with %s', async (_credentials, createHeaders) => {
    const response = await send(await createHeaders())
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toMatch(/^Bearer/)
    expect(receivedRequests).toEqual([])
  })

  test('the gateway responds with 401 to the first request after the token is revoked', async () => {
    expect((await send()).status).toBe(200)
    receivedRequests = []
    api.snapshot = loggedOutSnapshot()
    const response = await send()
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toMatch(/^Bearer .*error="invalid_token"/)
    expect(receivedRequests).toEqual([])
  })

  test('the gateway refuses a request if the data of last-logout is stale, or its database is unavailable', async () => {
    api.snapshot = staleSnapshot()
    expectRefusal(await send(), gatewayCase.unknownStatus)
    api.snapshot = new LastLogoutError('DATABASE_UNAVAILABLE', 'The database is unavailable.')
    expectRefusal(await send(), gatewayCase.unknownStatus)
  })

  test('the gateway forwards the bodies of 20 requests in a row over connections that are kept alive', async () => {
    for (let n = 0; n < 20; n++) {
      const response = await send(
        { authorization, 'content-type': 'application/json' },
        { method: n % 2 === 0 ? 'POST' : 'PUT', body: `{"n":${n}}` },
      )
      expect(response.status).toBe(200)
      await response.text()
    }
    expect(receivedRequests.map(({ body }) => body)).toEqual(
      Array.from({ length: 20 }, (_, n) => `{"n":${n}}`),
    )
  })

  test('the gateway forwards a CORS preflight without a token, but not the values of headers that a user must not set', async () => {
    const preflight = { origin: 'https://app.example', 'access-control-request-method': 'POST' }
    // `fetch` does not permit these headers.
    const status = await request(new URL('orders', gateway.url), 'OPTIONS', {
      ...preflight,
      ...SPOOFED_HEADERS,
    })
    expect(status).toBe(200)
    expect(receivedRequests).toMatchObject([{ method: 'OPTIONS' }])
    expect(Object.values(receivedRequests[0]?.headers ?? {}).join()).not.toMatch(/admin|spoofed/)
  })

  test('the gateway refuses an OPTIONS request without a token that is not a preflight', async () => {
    const status = await request(new URL('orders', gateway.url), 'OPTIONS', {})
    expect(status).toBe(gatewayCase.optionsStatus)
    expect(receivedRequests).toEqual([])
  })

  test('a user cannot remove the headers about the user by naming them in the header connection', async () => {
    const connection = ['close, x-last-logout-user', 'X-Last-Logout-Client,X-LAST-LOGOUT-SCOPE']
    const url = new URL('orders', gateway.url)
    expect(await request(url, 'GET', { authorization, connection })).toBe(200)
    const { headers = {} } = receivedRequests[0] ?? {}
    expect(decodeURIComponent(headers['x-last-logout-user'] ?? '')).toBe('samlp|corp|Jürgen')
    expect(headers['x-last-logout-client']).toBe(CLIENT_ID)
    expect(decodeURIComponent(headers['x-last-logout-scope'] ?? '')).toBe('read:orders')
    // Another proxy in front of the API would remove the headers.
    expect(headers.connection ?? '').not.toMatch(/logout/i)
  })

  test('the gateway forwards a WebSocket with a valid token, sets the headers about the user, and refuses a WebSocket without a token', async () => {
    const headers = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      // The example of RFC 6455.
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      'sec-websocket-version': '13',
    }
    const url = new URL('orders', gateway.url)
    expect(await request(url, 'GET', headers)).toBe(401)
    expect(receivedRequests).toEqual([])
    const withToken = { ...headers, authorization, ...SPOOFED_HEADERS }
    const opened = httpRequest(url, { headers: withToken, agent: false }).end()
    const [response, socket] = (await once(opened, 'upgrade')) as [IncomingMessage, Socket]
    expect(response.statusCode).toBe(101)
    const { headers: received = {} } = receivedRequests[0] ?? {}
    expect(decodeURIComponent(received['x-last-logout-user'] ?? '')).toBe('samlp|corp|Jürgen')
    expect(Object.values(received).join()).not.toMatch(/admin|spoofed/)
    socket.write('a message')
    expect(String((await once(socket, 'data'))[0])).toBe('a message')
    socket.destroy()
  })

  // Over a connection with another protocol, a user could send requests without a check.
  test.each([
    ['HTTP/2', 'h2c'],
    ['HTTP/2 or WebSocket', 'h2c, websocket'],
    ['HTTP/2, or WebSocket in a second header', ['h2c', 'websocket']],
    ['WebSocket, or HTTP/2 in a second header', ['websocket', 'h2c']],
  ])('the gateway forwards no upgrade to %s', async (_protocols, upgrade) => {
    const headers = {
      connection: 'Upgrade, HTTP2-Settings',
      upgrade,
      'http2-settings': 'AAMAAABkAARAAAAAAAIAAAAA',
      // The example of RFC 6455.
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      'sec-websocket-version': '13',
    }
    const preflight = { origin: 'https://app.example', 'access-control-request-method': 'POST' }
    const url = new URL('orders', gateway.url)
    await request(url, 'GET', { ...headers, authorization })
    await request(url, 'OPTIONS', { ...headers, ...preflight })
    expect(receivedRequests).toHaveLength(2)
    for (const received of receivedRequests)
      expect(received.headers.upgrade ?? '').not.toContain('h2c')
  })

  // This test must be the last one, because it stops last-logout.
  test('the gateway refuses a request while last-logout is unreachable', async () => {
    await gateway.tlsFront.close()
    await api.app.close()
    expectRefusal(await send(), gatewayCase.unreachableStatus)
  })
})

/** Sends a request with headers that `fetch` does not permit. Returns its status. */
async function request(
  url: URL,
  method: string,
  headers: Record<string, string | string[]>,
): Promise<number | undefined> {
  const outgoingRequest = httpRequest(url, { method, headers, agent: false }).end()
  const [response, socket] = (await Promise.race([
    once(outgoingRequest, 'response'),
    once(outgoingRequest, 'upgrade'),
  ])) as [IncomingMessage, Socket?]
  socket?.destroy()
  if (socket) return response.statusCode
  response.resume()
  await once(response, 'end')
  return response.statusCode
}

/** Returns the value of `Sec-WebSocket-Accept`, with which a server accepts a WebSocket (RFC 6455). */
function acceptKey(key = ''): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
}
