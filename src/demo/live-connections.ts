import type { IncomingMessage, Server } from 'node:http'
import type { RequestHandler } from 'express'
import { createRemoteJWKSet, type JWTPayload, jwtVerify } from 'jose'
import { type WebSocket, WebSocketServer } from 'ws'
import type { LastLogoutClient } from '../client/index.js'
import { lastLogout as protectStreams } from '../client/sse.js'
import { lastLogout as protectSockets } from '../client/ws.js'
import { AUDIENCE } from './provider.js'

/** The path of the WebSocket. */
const SOCKET_PATH = '/live/socket'

/** Interval between two orders on a live connection, in milliseconds. */
const ORDER_INTERVAL_MS = 1_000

/** Maximum size of a message from the page, in bytes. The page sends no messages. */
const MAX_MESSAGE_BYTES = 1_024

/** The dependencies of {@link serveOrderSocket}. */
export interface OrderSocketDeps {
  issuer: string
  client: LastLogoutClient
}

/**
 * Serves WebSockets that send new orders to users with a token. A logout closes the user's WebSocket.
 *
 * @returns A function that ends all connections.
 */
export function serveOrderSocket(server: Server, deps: OrderSocketDeps): () => Promise<void> {
  const verify = createVerifier(deps.issuer)
  const protect = protectSockets(deps.client)
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES })
  const open = async (socket: WebSocket, claims: JWTPayload) => {
    // A message that is invalid or too long closes the connection. Without a listener, the error would end the process.
    socket.on('error', () => {})
    if (await protect(socket, claims)) sendOrders(socket, (order) => socket.send(order))
  }
  server.on('upgrade', async (request, socket, head) => {
    socket.on('error', () => socket.destroy())
    const claims = await verify(request).catch(() => null)
    if (claims === null) return void socket.end('HTTP/1.1 401 Unauthorized\r\n\r\n')
    sockets.handleUpgrade(request, socket, head, (accepted) => void open(accepted, claims))
  })
  return async () => {
    for (const socket of sockets.clients) socket.terminate()
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
  return async ({ url, headers }) => {
    if (url !== SOCKET_PATH) throw new Error(`there is no WebSocket at ${url}`)
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
