import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { RequestHandler } from 'express'
import { createRemoteJWKSet, type JWTPayload, jwtVerify } from 'jose'
import { WebSocketServer } from 'ws'
import type { LastLogoutClient } from '../client/index.js'
import { lastLogout as protectStreams } from '../client/sse.js'
import { lastLogout as protectSockets } from '../client/ws.js'
import { LOOPBACK } from './open-server.js'
import { AUDIENCE } from './provider.js'

/** Interval between two orders on a live connection, in milliseconds. */
const ORDER_INTERVAL_MS = 1_000

/** Maximum size of a message from the page, in bytes. The page sends no messages. */
const MAX_MESSAGE_BYTES = 1_024

/** The dependencies of {@link serveOrderSocket}. */
export interface OrderSocketDeps {
  issuer: string
  client: LastLogoutClient
}

/** A server of WebSockets. */
export interface SocketServer {
  url: string
  close(): Promise<void>
}

/**
 * Serves WebSockets that send new orders to users with a token. A logout closes the user's WebSockets. The server is
 * separate from the server of the page. There, Node.js would treat each request with the header `Upgrade` as a
 * WebSocket, even a request of `curl --http2`.
 */
export async function serveOrderSocket({ issuer, client }: OrderSocketDeps): Promise<SocketServer> {
  const verify = createVerifier(issuer)
  const protect = protectSockets(client)
  const server = new WebSocketServer({ host: LOOPBACK, port: 0, maxPayload: MAX_MESSAGE_BYTES })
  server.on('connection', async (socket, request) => {
    // A message that is invalid or too long closes the connection. Without a listener, the error would end the process.
    socket.on('error', () => {})
    socket.pause()
    const claims = await verify(request).catch(() => null)
    socket.resume()
    if (claims === null) return socket.close(4401, 'the token is invalid')
    if (await protect(socket, claims)) sendOrders(socket, (order) => socket.send(order))
  })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `ws://${LOOPBACK}:${port}`,
    async close() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of server.clients) socket.terminate()
      await closed
    },
  }
}

/**
 * Creates a function that verifies the token of a request for the WebSocket. A browser cannot set the headers of such a
 * request, but can set a list of subprotocols. The second item of the list is the token. The server accepts the first
 * item, which is the name of the protocol.
 */
function createVerifier(issuer: string): (request: IncomingMessage) => Promise<JWTPayload> {
  const keySet = createRemoteJWKSet(new URL('.well-known/jwks.json', issuer))
  const expected = { issuer, audience: AUDIENCE, algorithms: ['RS256'], requiredClaims: ['sub'] }
  return async ({ headers }) => {
    const [, token = ''] = headers['sec-websocket-protocol']?.split(/, */) ?? []
    const { payload } = await jwtVerify(token, keySet, expected)
    return payload
  }
}

/** Creates a handler that sends new orders as Server-Sent Events. A logout ends the stream. */
export function streamOrders(client: LastLogoutClient): RequestHandler {
  const protect = protectStreams(client)
  return async (req, res) => {
    if (!(await protect(res, req.auth?.payload ?? {}))) return
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.flushHeaders()
    sendOrders(res, (order) => res.write(`data: ${order}\n\n`))
  }
}

/** Sends a new order every second, until the connection is closed. */
function sendOrders(
  connection: { once(event: 'close', listener: () => void): unknown },
  send: (order: string) => void,
): void {
  let number = 1_002
  const timer = setInterval(() => {
    number++
    send(`A-${number}`)
  }, ORDER_INTERVAL_MS)
  connection.once('close', () => clearInterval(timer))
}
