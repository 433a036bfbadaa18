import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { gatewayKeys, loggedOut, staleSnapshot, useGatewayApi } from '../_support/gateway-api.js'

/** A request of a gateway that the tests do not run, as its documents and sources describe it. */
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
  accepted: number
  /** The status for a revoked token. */
  refused: number
}

const KEY = gatewayKeys.forwardAuth.key
const readConfiguration = async (file: string) =>
  (await readFile(`deploy/gateways/${file}`, 'utf8')).replaceAll('GATEWAY_KEY', KEY)
const pathOf = (url: string) => new URL(url).pathname

/** Headers of a user, with which the user tries to take the place of another one. */
const SPOOFED = { 'x-last-logout-user': 'admin', 'x-last-logout-success-status': '200' }

const REQUESTS: GatewayRequest[] = [
  {
    // Sends GET with the headers of authRequestHeaders, and its own X-Forwarded headers.
    gateway: 'Traefik',
    async build(token) {
      const { middlewares } = parse(await readConfiguration('traefik.yaml')).http
      const { address, authRequestHeaders } = middlewares['last-logout'].forwardAuth
      const ofUser: Record<string, string> = {
        ...SPOOFED,
        authorization: `Bearer ${token}`,
        ...lowerCase(middlewares['last-logout-key'].headers.customRequestHeaders),
      }
      const names = authRequestHeaders.map((name: string) => name.toLowerCase())
      const sent = Object.entries(ofUser).filter(([name]) => names.includes(name))
      return {
        method: 'GET',
        url: pathOf(address),
        headers: {
          ...Object.fromEntries(sent),
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
    accepted: 204,
    refused: 401,
  },
  {
    // Keeps the method, appends the path, and sends Content-Length 0. Forwards the request only after 200.
    gateway: 'Envoy',
    async build(token) {
      const { static_resources } = parse(await readConfiguration('envoy.yaml'))
      const [{ filter_chains }] = static_resources.listeners
      const [filter] = filter_chains[0].filters[0].typed_config.http_filters
      const { path_prefix, authorization_request } = filter.typed_config.http_service
      const added = authorization_request.headers_to_add.map(
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
          ...Object.fromEntries(added),
        },
      }
    },
    accepted: 200,
    refused: 401,
  },
  {
    // lua-resty-http sends GET with the given headers.
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
    accepted: 204,
    refused: 401,
  },
  {
    // Kong's plugin oauth2-introspection posts a form, with authorization_value as Authorization.
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
    accepted: 200,
    refused: 200,
  },
  {
    // Go's http.DefaultClient sends GET without a body, and the headers of the table.
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
    accepted: 204,
    refused: 401,
  },
]

const lowerCase = (headers: Record<string, string>) =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))

const { t, api } = useGatewayApi()

test.each(REQUESTS)('the request of $gateway gets the status that it needs', async (request) => {
  const { build, accepted, refused } = request
  const send = async (token: string) => api.app.inject((await build(token)) as object)
  const token = await t.signAccessToken()

  const active = await send(token)
  expect(active.statusCode).toBe(accepted)
  if (request.gateway === 'Kong oauth2-introspection') {
    expect(active.json()).toMatchObject({ active: true, sub: 'auth0|123' })
  } else {
    expect(active.headers).toMatchObject({ 'x-last-logout-user': 'auth0%7C123' })
  }

  api.snapshot = staleSnapshot()
  const unknown = await send(token)
  expect(unknown.statusCode).toBe(503)
  expect(unknown.headers).toHaveProperty('retry-after')

  api.snapshot = loggedOut()
  for (const revoked of [await send(token), await send('x')]) {
    expect(revoked.statusCode).toBe(refused)
    if (refused === 401) expect(revoked.headers['www-authenticate']).toMatch(/invalid_token/)
    else expect(revoked.body).toBe('{"active":false}')
  }
})

// `test/environments/gateways.test.ts` sends such headers through the gateways that it runs.
test.each([
  ['traefik.yaml', 'x-last-logout-'],
  ['envoy.yaml', 'x-last-logout-'],
  ['kong.yaml', '"'],
])(
  '%s replaces or removes the headers of users that an API would believe',
  async (file, prefix) => {
    const text = (await readConfiguration(file)).toLowerCase()
    for (const name of ['user', 'client', 'scope', 'key', 'success-status']) {
      expect(text).toContain(prefix + name)
    }
  },
)

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
