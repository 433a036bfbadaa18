import { schemeOfClaims } from './challenge-scheme.js'
import type { LastLogoutClient } from './client.js'
import {
  assertCanWatch,
  type Closable,
  destroyUnlessClosed,
  type LiveOptions,
  protectConnection,
  signalOfClose,
} from './live-connection.js'
import { toRefusal } from './refusal.js'
import type { WatchEnd } from './watch-review.js'

/** The used part of the socket of a request. */
interface SocketLike extends Closable {
  readonly destroyed: boolean
}

/** The used part of a `ServerResponse` or an `Http2ServerResponse` of Node.js. */
interface ResponseLike extends Closable {
  readonly headersSent: boolean
  /** Only of HTTP/1.1. */
  readonly destroyed?: boolean
  /** Only of HTTP/2. */
  readonly stream?: { readonly destroyed: boolean }
  readonly req: { readonly socket: SocketLike }
  writeHead(status: number, headers: Record<string, string>): unknown
  end(): unknown
  end(body: string): unknown
  destroy(): unknown
  on(event: 'error', listener: () => void): unknown
}

/** The time after which an `EventSource` reconnects, in milliseconds. */
const RETRY_MS = 5_000

/**
 * Creates a function that checks the token of a request for Server-Sent Events. The function ends the response when the
 * token is revoked or expires. An `EventSource` then reconnects:
 *
 * - A revoked token is refused with 401. The `EventSource` does not reconnect after that.
 * - For an unknown revocation status, the response is an event stream that ends at once, so that the `EventSource`
 *   reconnects. After a 503, it would not.
 *
 * @returns A function that takes the response and the verified claims. Its promise resolves to `true` if the request is
 *   accepted. If it resolves to `false`, the response was already sent. Call it before the app sends the headers: after
 *   them, the response cannot be a 401, and an `EventSource` reconnects without end. Without claims, it rejects with a
 *   `TypeError`.
 * @example
 * const protect = lastLogout(client)
 * app.get('/events', auth(), async (req, res) => {
 *   if (await protect(res, req.auth.payload)) sendEvents(res)
 * })
 * // Fastify: reply.hijack(), then protect(reply.raw, request.user)
 */
export function lastLogout(
  client: LastLogoutClient,
  options: LiveOptions = {},
): (response: ResponseLike, claims: object) => Promise<boolean> {
  assertCanWatch(client, options)
  return async (response, claims) => {
    if (isDestroyed(response)) return false
    const closed = signalOfResponse(response)
    let isAccepted = false
    const end = (outcome: WatchEnd['outcome']) => {
      if (isAccepted || response.headersSent) endStream(response, closed)
      else refuse(response, outcome, claims)
    }
    isAccepted = await protectConnection(client, { ...options, claims, closed, end })
    return isAccepted
  }
}

/** Whether the request has been cancelled. */
function isDestroyed({ destroyed, stream, req }: ResponseLike): boolean {
  return stream === undefined ? destroyed === true || req.socket.destroyed : stream.destroyed
}

/** Returns a signal that aborts when the response is closed. */
function signalOfResponse(response: ResponseLike): AbortSignal {
  if (response.stream !== undefined) return signalOfClose(response)
  // A response that waits for the response to an earlier request of the same connection emits no `close`.
  return signalOfClose(response, response.req.socket)
}

function endStream(response: ResponseLike, closed: AbortSignal): void {
  // The app may write further events before the response is closed. Each write then causes an `error` event.
  response.on('error', () => {})
  // If the app has not sent the headers yet, the end would send them. An `EventSource` would stop for good, because they
  // lack the content type, and `writeHead` of the app would throw.
  if (response.headersSent) response.end()
  else response.destroy()
  destroyUnlessClosed(closed, () => response.destroy())
}

function refuse(response: ResponseLike, outcome: WatchEnd['outcome'], claims: object): void {
  const refusal =
    outcome === 'revoked'
      ? toRefusal({ allowed: false, outcome }, schemeOfClaims(claims as Record<string, unknown>))
      : null
  if (refusal === null) {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    response.end(`retry: ${RETRY_MS}\n\n`)
    return
  }
  response.writeHead(refusal.status, { ...refusal.headers, 'content-type': 'application/json' })
  response.end(JSON.stringify(refusal.body))
}
