import type { LastLogoutClient } from './client.js'
import {
  destroyUnlessClosed,
  type LiveOptions,
  protectConnection,
  signalOfClose,
} from './live-connection.js'
import type { WatchEnd } from './watch-review.js'

/** The part of a `WebSocket` of `ws` that is used. */
interface SocketLike {
  readonly readyState: number
  pause(): void
  resume(): void
  close(code: number, reason: string): void
  terminate(): void
  once(event: 'close', listener: () => void): unknown
  removeAllListeners(event: 'message'): unknown
}

/** The `readyState` of an open connection. */
const OPEN = 1

/**
 * The close code and the reason of each outcome. A client of `graphql-ws` does not reconnect after 4401. After 4403 it
 * reconnects with new `connectionParams`, after 1013 with backoff. A longer reason than 123 bytes would be an error.
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
 * @returns A function that takes the socket and the verified claims. Its promise resolves to whether the connection is
 *   accepted. If it is not, it is closed already. Without claims, the promise rejects with a `TypeError`.
 * @example
 * const protect = lastLogout(client)
 * server.on('connection', async (socket, request) => {
 *   if (await protect(socket, await verify(request))) socket.on('message', handle)
 * })
 * // graphql-ws
 * useServer({ schema, onConnect: async (ctx) => protect(ctx.extra.socket, await verify(ctx)) }, server)
 */
export function lastLogout(
  client: LastLogoutClient,
  options: LiveOptions = {},
): (socket: SocketLike, claims: object) => Promise<boolean> {
  return async (socket, claims) => {
    if (socket.readyState !== OPEN) return false
    const closed = signalOfClose(socket)
    const end = (outcome: WatchEnd['outcome']) => {
      // After `close`, `ws` still emits the messages that arrive until the peer closes the connection.
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
