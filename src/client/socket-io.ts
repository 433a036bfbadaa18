import type { LastLogoutClient } from './client.js'
import type { LiveOptions } from './live-connection.js'
import { toRefusal } from './refusal.js'
import { assertClaims } from './verified-claims.js'
import type { WatchEnd } from './watch-review.js'

/** The part of a `Socket` of Socket.IO that is used. */
interface SocketLike {
  readonly recovered?: boolean
  readonly conn: { close(): unknown }
  emit(event: string, data: object): unknown
  disconnect(close: true): unknown
  once(event: 'disconnect', listener: () => void): unknown
}

/** The part of a server or a namespace of Socket.IO that is used. */
interface NamespaceLike<Socket> {
  use(middleware: (socket: Socket, next: (error?: Error) => void) => void): unknown
  on(event: 'connection', listener: (socket: Socket) => void): unknown
}

/** Options of the adapter for Socket.IO. */
export interface SocketIoOptions<Socket> extends LiveOptions {
  /** Returns the verified claims of a socket, such as `(socket) => socket.data.claims`. */
  getClaims: (socket: Socket) => object | undefined
}

/** The event that a client receives before its connection ends, with `{ outcome }`: `revoked` or `expired`. */
const END_EVENT = 'last-logout'

/**
 * A client whose revocation status is unknown reconnects after a time between these two bounds, in milliseconds. Without a
 * delay, all clients would reconnect once per second during an outage.
 */
const MIN_RETRY_MS = 2_000
const MAX_RETRY_MS = 5_000

/**
 * Creates a function that protects a server or a namespace of Socket.IO. It refuses the connection of a revoked token with
 * an error, and disconnects a client when its token is revoked or expires. Such a client does not reconnect by itself. If
 * the revocation status is unknown, it closes the transport, and the client reconnects.
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
  const readClaims = (socket: Socket) => assertClaims(getClaims(socket), 'the result of getClaims')

  async function checkSocket(socket: Socket, next: (error?: Error) => void): Promise<void> {
    try {
      const refusal = toRefusal(await client.check(readClaims(socket)))
      if (refusal === null) next()
      else if (refusal.status === 401) next(createError(refusal.body))
      else retryLater(socket)
    } catch (error) {
      next(error as Error)
    }
  }

  function watchSocket(socket: Socket): void {
    const claims = getClaims(socket)
    // The middleware has refused such a socket, unless the connection was recovered without its data.
    if (claims === undefined) {
      socket.disconnect(true)
      return
    }
    const end = (outcome: WatchEnd['outcome']) => endSocket(socket, outcome)
    // A recovered connection has bypassed the middleware. The handlers after this one must not send it anything.
    if (socket.recovered === true) {
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

/** A client receives `data` with the event `connect_error`. */
function createError(data: { error_description: string }): Error {
  return Object.assign(new Error(data.error_description), { data })
}

/** Closes the transport before the connection is accepted. */
function retryLater(socket: SocketLike): void {
  const delayMs = MIN_RETRY_MS + Math.random() * (MAX_RETRY_MS - MIN_RETRY_MS)
  setTimeout(() => socket.conn.close(), delayMs)
}

function endSocket(socket: SocketLike, outcome: WatchEnd['outcome']): void {
  if (outcome === 'unknown') {
    socket.conn.close()
    return
  }
  socket.emit(END_EVENT, { outcome })
  // A client reconnects after every other kind of disconnection.
  socket.disconnect(true)
}
