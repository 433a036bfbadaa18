import type { LastLogoutClient } from './client.js'
import { assertCanWatch, type LiveOptions } from './live-connection.js'
import { toRefusal } from './refusal.js'
import { assertClaims } from './verified-claims.js'
import type { WatchEnd } from './watch-review.js'

/** The part of a Socket.IO `Socket` that the adapter uses. */
interface SocketLike {
  readonly recovered?: boolean
  readonly conn: { close(): unknown }
  emit(event: string, data: object): unknown
  disconnect(close: true): unknown
  once(event: 'disconnect', listener: () => void): unknown
}

/** The part of a Socket.IO server or namespace that the adapter uses. */
interface NamespaceLike<Socket> {
  use(middleware: (socket: Socket, next: (error?: Error) => void) => void): unknown
  on(event: 'connection', listener: (socket: Socket) => void): unknown
}

/** Options of the adapter for Socket.IO. */
export interface SocketIoOptions<Socket> extends LiveOptions {
  /** Returns the verified claims of a socket, such as `(socket) => socket.data.claims`. */
  getClaims: (socket: Socket) => object | undefined
}

/** A client receives this event before its connection ends. The data is `{ outcome }`: `revoked` or `expired`. */
const END_EVENT = 'last-logout'

/**
 * Bounds of a random delay, in milliseconds. If the revocation status is unknown, a new connection is closed after this
 * delay. Without this delay, every client would reconnect once per second during an outage.
 */
const MIN_CLOSE_DELAY_MS = 2_000
const MAX_CLOSE_DELAY_MS = 5_000

/**
 * Creates a function that protects a namespace of Socket.IO. A server stands for its namespace `/`. Every other namespace
 * needs a call of its own.
 *
 * - If a token is revoked, the connection is refused with an error.
 * - If the token of an open connection is revoked or expires, the client is disconnected, and does not reconnect by
 *   itself.
 * - If the revocation status is unknown, the transport is closed, and the client reconnects.
 *
 * @returns A function that takes the server or the namespace. Call it after the middleware that verifies the token, and
 *   before the handlers of `connection`.
 * @example
 * io.use(verifyToken)
 * lastLogout(client, { getClaims: (socket) => socket.data.claims })(io)
 */
export function lastLogout<Socket extends SocketLike>(
  client: LastLogoutClient,
  { getClaims, maxUnknownMs }: SocketIoOptions<Socket>,
): (namespace: NamespaceLike<Socket>) => void {
  assertCanWatch(client, { maxUnknownMs })
  const readClaims = (socket: Socket) => assertClaims(getClaims(socket), 'the result of getClaims')

  async function checkSocket(socket: Socket, next: (error?: Error) => void): Promise<void> {
    try {
      const refusal = toRefusal(await client.check(readClaims(socket)))
      if (refusal === null) next()
      else if (refusal.status === 401) next(createError(refusal.body))
      else closeLater(socket)
    } catch (error) {
      next(error as Error)
    }
  }

  function watchSocket(socket: Socket): void {
    let claims: object
    try {
      claims = readClaims(socket)
    } catch {
      // A recovered connection bypasses the middlewares, and can lack the data from which `getClaims` reads.
      socket.disconnect(true)
      return
    }
    const end = (outcome: WatchEnd['outcome']) => endSocket(socket, outcome)
    // A recovered connection must be checked synchronously, before the next handler sends data.
    if (socket.recovered === true) {
      // If the check needs a request, the watch below sends it.
      const { allowed, outcome, reason } = client.checkNow(claims)
      if (!allowed && reason !== 'lookup_needed') {
        end(outcome === 'revoked' ? 'revoked' : 'unknown')
        return
      }
    }
    const onRevoked = (watchEnd: WatchEnd) => end(watchEnd.outcome)
    socket.once('disconnect', client.watch(claims, { maxUnknownMs, onRevoked }))
  }

  return (namespace) => {
    namespace.use((socket, next) => void checkSocket(socket, next))
    namespace.on('connection', watchSocket)
  }
}

/** Creates the error that refuses a connection. The client receives `data` with the event `connect_error`. */
function createError(data: { error_description: string }): Error {
  return Object.assign(new Error(data.error_description), { data })
}

/** Closes the transport of a connection that is not accepted yet. The client then reconnects. */
function closeLater(socket: SocketLike): void {
  const delayMs = MIN_CLOSE_DELAY_MS + Math.random() * (MAX_CLOSE_DELAY_MS - MIN_CLOSE_DELAY_MS)
  setTimeout(() => socket.conn.close(), delayMs)
}

function endSocket(socket: SocketLike, outcome: WatchEnd['outcome']): void {
  if (outcome === 'unknown') {
    socket.conn.close()
    return
  }
  socket.emit(END_EVENT, { outcome })
  // After this call, the client does not reconnect by itself.
  socket.disconnect(true)
}
