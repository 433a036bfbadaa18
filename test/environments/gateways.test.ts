import { once } from 'node:events'
import { chmod } from 'node:fs/promises'
import { createServer, request as httpRequest, type IncomingMessage } from 'node:http'
import { dirname } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { LastLogoutError } from '../../src/errors.js'
import { listenOnLoopback } from '../_support/api.js'
import {
  type GatewayApi,
  gatewayKeys,
  loggedOut,
  openGatewayApi,
  snapshotWith,
  staleSnapshot,
} from '../_support/gateway-api.js'
import { type LoopbackServer, openLoopback } from '../_support/loopback.js'
import { nowSeconds, openTenantTokens, type TenantTokens } from '../_support/tenant-tokens.js'
import {
  type Certificates,
  openCertificates,
  openTlsFront,
  type TlsFront,
} from '../_support/tls.js'
import { createGateway } from './gateway-programs.js'
import { type RunningProxy, startProxy } from './proxy-programs.js'

/** A gateway, and what it responds if it is unknown whether a token is revoked. */
interface Gateway {
  name: string
  unknown: number
  /** The status if last-logout cannot be reached. */
  unreachable: number
  /** The status for a request with OPTIONS that is no preflight, and has no token. */
  options: number
}

const GATEWAYS: Gateway[] = [
  { name: 'nginx', unknown: 503, unreachable: 503, options: 401 },
  { name: 'HAProxy', unknown: 503, unreachable: 503, options: 401 },
  { name: 'Caddy', unknown: 503, unreachable: 502, options: 401 },
  // mod_auth_openidc responds with 401 if the introspection fails.
  { name: 'Apache', unknown: 401, unreachable: 401, options: 403 },
]

const { key } = gatewayKeys.forwardAuth
/** Headers that a user must not be able to set. */
const SPOOFED = {
  'x-last-logout-user': 'auth0%7Cadmin',
  'x-last-logout-client': 'admin',
  'x-last-logout-scope': 'admin',
  'x-last-logout-key': 'spoofed',
  'x-last-logout-success-status': '200',
}

/** Names that some servers read as that of a header of {@link SPOOFED}. */
const ALIASES = [
  'x_last_logout_user',
  'x-last_logout-client',
  'x-last-logout_scope',
  'x_last-logout_user',
]
/** Such names with other characters. Apache forwards these headers. */
const OTHER_ALIASES = ['x.last.logout.user', 'x-last-logout!user', 'x~last-logout-user']

/** A request as the API behind the gateway receives it. */
interface ReceivedRequest {
  method: string
  url: string
  headers: Record<string, string>
  body: string
}

let t: TenantTokens
let certificates: Certificates
let upstream: LoopbackServer
let received: ReceivedRequest[] = []
beforeAll(async () => {
  t = await openTenantTokens()
  certificates = await openCertificates()
  upstream = await openLoopback(
    createServer(async (request, response) => {
      const { method = '', url = '', headers } = request
      received.push({ method, url, headers: headers as never, body: await text(request) })
      response.end('orders')
    }),
  )
})
afterAll(async () => {
  await upstream.close()
  await certificates.remove()
  await t.close()
})
afterEach(() => {
  received = []
})

describe.each(GATEWAYS)('$name with its configuration of deploy/gateways', (expected) => {
  let api: GatewayApi
  let front: TlsFront
  let gateway: RunningProxy
  let authorization: string
  beforeAll(async () => {
    api = await openGatewayApi(t)
    const certificate = await certificates.create('IP:127.0.0.1')
    // Apache reads it as another user.
    await chmod(dirname(certificate.file), 0o755)
    const url = await listenOnLoopback(api.app)
    front = await openTlsFront(url, certificate)
    const isApache = expected.name === 'Apache'
    const program = await createGateway(expected.name, {
      upstream: new URL(upstream.url).host,
      key: isApache ? gatewayKeys.introspect.key : key,
      certificateFile: certificate.file,
    })
    gateway = await startProxy(program, isApache ? front.url : url)
    authorization = `Bearer ${await t.signAccessToken({ sub: 'samlp|corp|Jürgen' })}`
  })
  afterAll(async () => {
    await gateway?.close()
    await front?.close()
    await api?.app.close()
  })
  afterEach(() => {
    api.snapshot = snapshotWith()
  })

  const send = (headers: Record<string, string> = { authorization }, init: RequestInit = {}) =>
    fetch(new URL('orders/5?x=%2F', gateway.url), { headers, ...init })
  const expectUnknown = (response: Response, status: number) => {
    expect(response.status).toBe(status)
    if (status === 503) expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(received).toEqual([])
  }

  test('forwards a request with a valid token, with the user, and without the key', async () => {
    const response = await send({ authorization, ...SPOOFED })
    expect(response.status).toBe(200)
    expect(await response.text()).toBe('orders')
    expect(received).toMatchObject([
      { method: 'GET', url: '/orders/5?x=%2F', headers: { authorization } },
    ])
    const { headers = {} } = received[0] ?? {}
    expect(decodeURIComponent(headers['x-last-logout-user'] ?? '')).toBe('samlp|corp|Jürgen')
    expect(headers['x-last-logout-client']).toBe('SinglePageApp0000000000000000001')
    expect(decodeURIComponent(headers['x-last-logout-scope'] ?? '')).toBe('read:orders')
    expect(Object.values(headers).join()).not.toMatch(/admin|spoofed/)
    expect(Object.values(headers).join()).not.toContain(key)
  })

  const aliases = [...ALIASES, ...(expected.name === 'Apache' ? [] : OTHER_ALIASES)]
  test.each(aliases)('the API does not receive the header %s of a user', async (name) => {
    const url = new URL('orders', gateway.url)
    const preflight = { origin: 'https://app.example', 'access-control-request-method': 'POST' }
    await request(url, 'GET', { authorization, [name]: 'auth0%7Cadmin' })
    await request(url, 'OPTIONS', { ...preflight, [name]: 'auth0%7Cadmin' })
    for (const { headers } of received) expect(Object.values(headers).join()).not.toMatch(/admin/)
    expect(received).toHaveLength(2)
  })

  test('no header of a user remains if a token has no such claim', async () => {
    const token = await t.signAccessToken({ azp: undefined, permissions: [], scope: undefined })
    expect((await send({ authorization: `Bearer ${token}`, ...SPOOFED })).status).toBe(200)
    expect(received[0]?.headers['x-last-logout-client'] ?? '').toBe('')
    expect(received[0]?.headers['x-last-logout-scope'] ?? '').toBe('')
  })

  test.each([
    ['no token', async () => ({})],
    ['a text that is no token', async () => ({ authorization: 'Bearer x' })],
    ['an ID token', async () => ({ authorization: `Bearer ${await t.signIdToken()}` })],
    [
      'an expired token',
      async () => {
        const token = await t.signAccessToken({ exp: nowSeconds() - 1 })
        return { authorization: `Bearer ${token}` }
      },
    ],
  ])('responds with 401 to %s', async (_what, headers) => {
    const response = await send(await headers())
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toMatch(/^Bearer/)
    expect(received).toEqual([])
  })

  test('responds with 401 as soon as the token is revoked', async () => {
    expect((await send()).status).toBe(200)
    received = []
    api.snapshot = loggedOut()
    const response = await send()
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toMatch(/^Bearer .*error="invalid_token"/)
    expect(received).toEqual([])
  })

  test('rejects every request if it is unknown whether the token is revoked', async () => {
    api.snapshot = staleSnapshot()
    expectUnknown(await send(), expected.unknown)
    api.snapshot = new LastLogoutError('DATABASE_UNAVAILABLE', 'The database is unavailable.')
    expectUnknown(await send(), expected.unknown)
  })

  test('forwards bodies over connections that are kept alive', async () => {
    for (let n = 0; n < 20; n++) {
      const response = await send(
        { authorization, 'content-type': 'application/json' },
        { method: n % 2 === 0 ? 'POST' : 'PUT', body: `{"n":${n}}` },
      )
      expect(response.status).toBe(200)
      await response.text()
    }
    expect(received.map(({ body }) => body)).toEqual(
      Array.from({ length: 20 }, (_, n) => `{"n":${n}}`),
    )
  })

  test('forwards a CORS preflight without a token, and without the headers of the user', async () => {
    const preflight = { origin: 'https://app.example', 'access-control-request-method': 'POST' }
    // `fetch` does not send these headers.
    const response = await request(new URL('orders', gateway.url), 'OPTIONS', {
      ...preflight,
      ...SPOOFED,
    })
    expect(response).toBe(200)
    expect(received).toMatchObject([{ method: 'OPTIONS' }])
    expect(Object.values(received[0]?.headers ?? {}).join()).not.toMatch(/admin|spoofed/)
  })

  test('checks a request with OPTIONS that is no preflight', async () => {
    const status = await request(new URL('orders', gateway.url), 'OPTIONS', {})
    expect(status).toBe(expected.options)
    expect(received).toEqual([])
  })

  test('checks a request for a WebSocket', async () => {
    const headers = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      'sec-websocket-version': '13',
    }
    const url = new URL('orders', gateway.url)
    expect(await request(url, 'GET', headers)).toBe(401)
    expect(await request(url, 'GET', { ...headers, authorization })).toBe(200)
  })

  test('rejects every request while last-logout cannot be reached', async () => {
    await front.close()
    await api.app.close()
    expectUnknown(await send(), expected.unreachable)
  })
})

/** Sends a request with headers that `fetch` does not permit. Returns its status. */
async function request(
  url: URL,
  method: string,
  headers: Record<string, string>,
): Promise<number | undefined> {
  const sent = httpRequest(url, { method, headers, agent: false }).end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  response.resume()
  await once(response, 'end')
  return response.statusCode
}
