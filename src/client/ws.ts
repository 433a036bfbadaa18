import type { LastLogoutClient } from './client.js'
import {
  assertCanWatch,
  type Closable,
  destroyUnlessClosed,
  type LiveOptions,
  protectConnection,
  signalOfClose,
} from './live-connection.js'
import type { WatchEnd } from './watch-review.js'

/** The used part of a `WebSocket` of `ws`. */
interface SocketLike extends Closable {
  readonly readyState: number
  pause(): void
  resume(): void
  close(code: number, reason: string): void
  terminate(): void
  on(event: 'error', listener: () => void): unknown
  removeAllListeners(event: 'message'): unknown
}

/** The `readyState` of an open connection. */
const OPEN = 1

/**
 * The close code and the reason for each outcome. A client of `graphql-ws` does not reconnect after 4401. After 4403,
 * it reconnects with new `connectionParams`, and after 1013 with backoff. A reason has at most 123 bytes.
 *
 * @see https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
 */
const CLOSE: Record<WatchEnd['outcome'], [code: number, reason: string]> = {
  revoked: [4401, 'the token was revoked by a logout'],
  expired: [4403, 'the token has expired'],
  unknown: [1013, 'the revocation status of the token is unavailable'],
}

/**
 * Creates a function that checks the token of a connection of `ws`, and closes the connection when the token is revoked
 * or expires. Messages wait until the check is complete.
 *
 * @returns A function that takes the socket and the verified claims. Its promise resolves to `true` if the connection
 *   is accepted. If it resolves to `false`, the connection is closed. Without claims, it rejects with a `TypeError`.
 * @example
 * const protect = lastLogout(client)
 * server.on('connection', async (socket, request) => {
 *   socket.on('error', () => {})
 *   if (await protect(socket, await verify(request))) socket.on('message', handle)
 * })
 * // graphql-ws
 * useServer({ schema, onConnect: async (ctx) => protect(ctx.extra.socket, await verify(ctx)) }, server)
 */
export function lastLogout(
  client: LastLogoutClient,
  options: LiveOptions = {},
): (socket: SocketLike, claims: object) => Promise<boolean> {
  assertCanWatch(client, options)
  return async (socket, claims) => {
    // An invalid frame closes the connection. Without a listener, its error would end the process.
    socket.on('error', () => {})
    if (socket.readyState !== OPEN) return false
    const closed = signalOfClose(socket)
    const end = (outcome: WatchEnd['outcome']) => {
      // Until the peer closes the connection, `ws` still emits messages.
      socket.removeAllListeners('message')
      socket.close(...CLOSE[outcome])
      destroyUnlessClosed(closed, () => socket.terminate())
    }
    socket.pause()
    try {
      return await protectConnection(client, { ...options, claims, closed, end })
    } finally {
      socket.resume()
    }
  }
}
