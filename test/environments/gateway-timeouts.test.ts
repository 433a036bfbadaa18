import { createServer } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type LoopbackServer, openLoopback } from '../_support/loopback.js'
import { type Certificates, openCertificates } from '../_support/tls.js'
import { type GatewayName, type RunningGateway, startGateway } from './gateway-programs.js'

/*
 * A replacement for last-logout accepts every token, until it stops responding. Then it still accepts connections and
 * reads requests. The gateway must refuse these requests in time.
 */

/** A gateway, and the status with which it refuses requests if last-logout does not respond. */
interface GatewayCase {
  name: GatewayName
  status: number
}

const GATEWAYS: GatewayCase[] = [
  { name: 'nginx', status: 503 },
  { name: 'HAProxy', status: 503 },
  { name: 'Caddy', status: 504 },
  // mod_auth_openidc responds with 401 if the introspection fails.
  { name: 'Apache', status: 401 },
]

/** The configurations permit about 3 s. A gateway that waits without limit fails its test. */
const MAX_WAIT_MS = 10_000

let certificates: Certificates
/** The API behind the gateway. */
let upstream: LoopbackServer
let upstreamRequests = 0
beforeAll(async () => {
  certificates = await openCertificates()
  upstream = await openLoopback(
    createServer((_request, response) => {
      upstreamRequests++
      response.end('orders')
    }),
  )
})
afterAll(async () => {
  await upstream.close()
  await certificates.remove()
})

describe.each(GATEWAYS)('$name with its configuration in deploy/gateways', ({ name, status }) => {
  let lastLogout: LoopbackServer
  let responds = true
  /** The requests to which `lastLogout` has not responded. */
  let pendingRequests = 0
  let gateway: RunningGateway
  beforeAll(async () => {
    lastLogout = await openLoopback(
      createServer((request, response) => {
        if (!responds) {
          pendingRequests++
          return
        }
        if (request.url?.startsWith('/v1/introspect')) {
          response.setHeader('content-type', 'application/json')
          response.end(JSON.stringify({ active: true, sub: 'auth0|123' }))
        } else {
          response.writeHead(204).end()
        }
      }),
    )
    gateway = await startGateway(name, {
      lastLogoutUrl: lastLogout.url,
      upstreamUrl: upstream.url,
      key: 'key-of-the-gateway',
      certificates,
    })
  })
  afterAll(async () => {
    await gateway?.close()
    await lastLogout?.close()
  })

  const send = () =>
    fetch(new URL('orders/5', gateway.url), { headers: { authorization: 'Bearer token' } })

  test(
    `the gateway refuses a request with ${status} if last-logout accepts connections but does not respond`,
    async () => {
      expect((await send()).status).toBe(200)
      upstreamRequests = 0
      responds = false
      const response = await send()
      expect(response.status).toBe(status)
      if (status === 503) expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
      expect(upstreamRequests).toBe(0)
      expect(pendingRequests).toBeGreaterThan(0)
    },
    MAX_WAIT_MS,
  )
})
