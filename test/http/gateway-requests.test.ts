import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import {
  gatewayKeys,
  loggedOutSnapshot,
  staleSnapshot,
  useGatewayApi,
} from '../_support/gateway-api.js'

/** The request of a gateway, as its documentation and source describe it. The tests do not run this gateway. */
interface GatewayRequest {
  gateway: string
  /** Builds the request from the configuration of deploy/gateways. */
  build(token: string): Promise<{
    method: string
    url: string
    headers: Record<string, string>
    payload?: string
  }>
  /** The only status for which the gateway forwards the request. */
  acceptedStatus: number
  /** The status for a revoked token. */
  refusedStatus: number
}

const KEY = gatewayKeys.forwardAuth.key
const readConfiguration = async (file: string) =>
  (await readFile(`deploy/gateways/${file}`, 'utf8')).replaceAll('GATEWAY_KEY', KEY)
const pathOf = (url: string) => new URL(url).pathname

/** Headers with which a user pretends to be another user. */
const SPOOFED_HEADERS = { 'x-last-logout-user': 'admin', 'x-last-logout-success-status': '200' }

const REQUESTS: GatewayRequest[] = [
  {
    // Traefik sends GET with the headers in authRequestHeaders, and adds X-Forwarded headers.
    gateway: 'Traefik',
    async build(token) {
      const { middlewares } = parse(await readConfiguration('traefik.yaml')).http
      const { address, authRequestHeaders } = middlewares['last-logout'].forwardAuth
      const requestHeaders: Record<string, string> = {
        ...SPOOFED_HEADERS,
        authorization: `Bearer ${token}`,
        ...lowerCaseNames(middlewares['last-logout-key'].headers.customRequestHeaders),
      }
      const names = authRequestHeaders.map((name: string) => name.toLowerCase())
      const sentHeaders = Object.entries(requestHeaders).filter(([name]) => names.includes(name))
      return {
        method: 'GET',
        url: pathOf(address),
        headers: {
          ...Object.fromEntries(sentHeaders),
          'user-agent': 'Go-http-client/1.1',
          'accept-encoding': 'gzip',
          'x-forwarded-for': '192.0.2.1',
          'x-forwarded-host': 'orders.example.com',
          'x-forwarded-method': 'POST',
          'x-forwarded-proto': 'https',
          'x-forwarded-uri': '/orders/5?x=%2F',
        },
      }
    },
    acceptedStatus: 204,
    refusedStatus: 401,
  },
  {
    // Envoy uses the method of the user's request, appends its path, and sends Content-Length 0.
    gateway: 'Envoy',
    async build(token) {
      const { static_resources } = parse(await readConfiguration('envoy.yaml'))
      const [{ filter_chains }] = static_resources.listeners
      const [filter] = filter_chains[0].filters[0].typed_config.http_filters
      const { path_prefix, authorization_request } = filter.typed_config.http_service
      const addedHeaders = authorization_request.headers_to_add.map(
        ({ key, value }: { key: string; value: string }) => [key, value],
      )
      return {
        method: 'POST',
        url: `${path_prefix}/orders/5?x=%2F`,
        headers: {
          authorization: `Bearer ${token}`,
          host: 'orders.example.com',
          'content-length': '0',
          'x-envoy-internal': 'true',
          ...Object.fromEntries(addedHeaders),
        },
      }
    },
    acceptedStatus: 200,
    refusedStatus: 401,
  },
  {
    // lua-resty-http sends GET with the headers of the configuration.
    gateway: 'Kong',
    async build(token) {
      const { services } = parse(await readConfiguration('kong.yaml'))
      const [lua] = services[0].plugins[0].config.access
      const [, address = ''] = /request_uri\("([^"]+)"/.exec(lua) ?? []
      const [, key = ''] = /\["X-Last-Logout-Key"\] = "([^"]+)"/.exec(lua) ?? []
      return {
        method: 'GET',
        url: pathOf(address),
        headers: {
          authorization: `Bearer ${token}`,
          'x-last-logout-key': key,
          'user-agent': 'lua-resty-http/0.17.2 (Lua) ngx_lua/10026',
        },
      }
    },
    acceptedStatus: 204,
    refusedStatus: 401,
  },
  {
    // Kong's plugin oauth2-introspection sends a form. Its setting authorization_value becomes Authorization.
    gateway: 'Kong oauth2-introspection',
    build: async (token) => ({
      method: 'POST',
      url: '/v1/introspect',
      headers: {
        authorization: `Bearer ${gatewayKeys.introspect.key}`,
        'content-type': 'application/x-www-form-urlencoded',
        accept: 'application/json',
      },
      payload: `token=${encodeURIComponent(token)}&token_type_hint=access_token`,
    }),
    acceptedStatus: 200,
    refusedStatus: 200,
  },
  {
    // http.DefaultClient of Go sends GET with the headers of the Lua table.
    gateway: 'KrakenD',
    async build(token) {
      const lua = await readConfiguration('krakend.lua')
      const [, address = '', method = ''] = /http_response\.new\("([^"]+)", "(\w+)"/.exec(lua) ?? []
      const [, key = ''] = /\["X-Last-Logout-Key"\] = "([^"]+)"/.exec(lua) ?? []
      return {
        method,
        url: pathOf(address),
        headers: {
          authorization: `Bearer ${token}`,
          'x-last-logout-key': key,
          'user-agent': 'KrakenD Version 2.12.1',
          'accept-encoding': 'gzip',
        },
      }
    },
    acceptedStatus: 204,
    refusedStatus: 401,
  },
]

const lowerCaseNames = (headers: Record<string, string>) =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))

const { tokens, api } = useGatewayApi()

test.each(REQUESTS)(
  'the API responds to $gateway with the status that this gateway expects',
  async (request) => {
    const { build, acceptedStatus, refusedStatus } = request
    const send = async (token: string) => api.app.inject((await build(token)) as object)
    const token = await tokens.signAccessToken()

    const response = await send(token)
    expect(response.statusCode).toBe(acceptedStatus)
    if (request.gateway === 'Kong oauth2-introspection') {
      expect(response.json()).toMatchObject({ active: true, sub: 'auth0|123' })
    } else {
      expect(response.headers).toMatchObject({ 'x-last-logout-user': 'auth0%7C123' })
    }

    api.snapshot = staleSnapshot()
    const responseToUnknown = await send(token)
    expect(responseToUnknown.statusCode).toBe(503)
    expect(responseToUnknown.headers).toHaveProperty('retry-after')

    api.snapshot = loggedOutSnapshot()
    for (const refusal of [await send(token), await send('malformed')]) {
      expect(refusal.statusCode).toBe(refusedStatus)
      if (refusedStatus === 401) {
        expect(refusal.headers['www-authenticate']).toMatch(/invalid_token/)
      } else {
        expect(refusal.body).toBe('{"active":false}')
      }
    }
  },
)

// For the gateways that run in tests, `test/environments/gateways.test.ts` tests the same with requests.
test.each([
  // The prefix stands before the name of each header. The code of Kong adds `X-Last-Logout-` itself.
  ['traefik.yaml', 'x-last-logout-'],
  ['envoy.yaml', 'x-last-logout-'],
  ['kong.yaml', '"'],
])('%s replaces or removes the identity headers that a user has sent', async (file, prefix) => {
  const configuration = (await readConfiguration(file)).toLowerCase()
  for (const name of ['user', 'client', 'scope', 'key', 'success-status']) {
    expect(configuration).toContain(prefix + name)
  }
})

test('the configurations of Traefik, Envoy, Kong and KrakenD remove headers whose names have underscores', async () => {
  const traefik = parse(await readConfiguration('traefik-static.yaml'))
  expect(traefik.entryPoints.orders.http).toEqual({ aliasHeadersStrategy: 'delete' })
  const envoy = parse(await readConfiguration('envoy.yaml')).static_resources
  const [{ typed_config: manager }] = envoy.listeners[0].filter_chains[0].filters
  expect(manager.common_http_protocol_options).toEqual({
    headers_with_underscores_action: 'DROP_HEADER',
  })
  // Kong deletes each spelling by its name.
  const [lua] = parse(await readConfiguration('kong.yaml')).services[0].plugins[0].config.access
  for (const prefix of ['X-Last-Logout', 'X-Last_Logout', 'X_Last-Logout', 'X_Last_Logout']) {
    expect(lua).toContain(`"${prefix}"`)
  }
  for (const separator of ['-', '_']) {
    expect(lua).toContain(`kong.service.request.clear_header(prefix .. "${separator}" .. name)`)
  }
  // KrakenD passes only the headers that it names.
  const { endpoints } = JSON.parse(await readConfiguration('krakend.json'))
  expect(endpoints[0].input_headers).toEqual(['Authorization'])
})
