import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import type { RequestHandler } from 'express'
import { createRemoteJWKSet, type JWTPayload, jwtVerify } from 'jose'
import { type WebSocket, WebSocketServer } from 'ws'
import type { LastLogoutClient } from '../client/index.js'
import { lastLogout as protectStreams } from '../client/sse.js'
import { lastLogout as protectSockets } from '../client/ws.js'
import { AUDIENCE } from './provider.js'

/** The path of the WebSocket. */
export const SOCKET_PATH = '/live/socket'

/** Interval between two orders on a live connection, in milliseconds. */
const ORDER_INTERVAL_MS = 1_000

/** The page sends no messages. */
const MAX_MESSAGE_BYTES = 1_024

/** The dependencies of {@link serveOrderSocket}. */
export interface OrderSocketDeps {
  issuer: string
  client: LastLogoutClient
}

/**
 * Serves a WebSocket with new orders to users with a token. A logout closes it. Until Node 24.9, a server with a listener
 * for upgrades cannot ignore the header `Upgrade` (RFC 9110 §7.8), so this server must serve nothing else.
 */
export function serveOrderSocket(server: Server, deps: OrderSocketDeps): void {
  const verify = createVerifier(deps.issuer)
  const protect = protectSockets(deps.client)
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES })
  const open = async (socket: WebSocket, claims: JWTPayload) => {
    // A message that is invalid or too long closes the connection. Without a listener, it would end the process.
    socket.on('error', () => {})
    if (await protect(socket, claims)) sendOrders(socket, (order) => socket.send(order))
  }
  server.on('upgrade', async (request, socket, head) => {
    socket.on('error', () => socket.destroy())
    const claims = await verify(request).catch(() => null)
    if (claims === null) return refuse(socket)
    sockets.handleUpgrade(request, socket, head, (accepted) => void open(accepted, claims))
  })
  server.on('request', (_request, response) => void response.writeHead(426).end())
}

/** Refuses an upgrade. The connection does not stay open for a client that does not close it. */
function refuse(socket: Duplex): void {
  socket.once('finish', () => socket.destroy())
  socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
}

/**
 * Creates a function that verifies the token of a request for the WebSocket. A browser cannot set the headers of such a
 * request, but its subprotocols. The second one is the token. The server accepts the first one.
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
