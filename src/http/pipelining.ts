import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Maximum number of requests that wait for an earlier request on the same connection. Proxies and browsers do not
 * pipeline requests. Libraries that support pipelining usually send 10 requests or fewer.
 */
export const MAX_WAITING_REQUESTS = 16

/** Options of {@link processInOrder}. */
interface PipeliningOptions {
  /** Called when a connection is closed because it exceeds {@link MAX_WAITING_REQUESTS}. */
  onExceeded(socket: Socket): void
}

/**
 * Passes the requests of a connection to `handle` one after the other: each request waits until the response to the
 * previous request has been written. Node.js itself passes all pipelined requests (RFC 9112 §9.3.2) at once, without a
 * bound, and keeps their responses in memory. In addition, a response that waits for an earlier response emits no
 * `close` event, so its handler would not notice that the client has disconnected.
 */
export function processInOrder(
  handle: RequestListener,
  { onExceeded }: PipeliningOptions,
): RequestListener {
  /** The connections with a request in progress, and the requests that wait for it. */
  const waiting = new WeakMap<Socket, [IncomingMessage, ServerResponse][]>()

  const start = (socket: Socket, request: IncomingMessage, response: ServerResponse) => {
    // Node.js emits `close` once: when the response has been written, or when the connection is closed.
    response.on('close', () => startNext(socket))
    handle(request, response)
  }
  const startNext = (socket: Socket) => {
    const next = socket.writable ? waiting.get(socket)?.shift() : undefined
    if (next === undefined) waiting.delete(socket)
    else start(socket, ...next)
  }

  return (request, response) => {
    const { socket } = request
    // This request was received together with an earlier request whose response closed the connection.
    if (!socket.writable) return
    const queue = waiting.get(socket)
    if (queue === undefined) {
      waiting.set(socket, [])
      start(socket, request, response)
    } else if (queue.length < MAX_WAITING_REQUESTS) {
      queue.push([request, response])
    } else {
      onExceeded(socket)
      socket.destroy()
    }
  }
}
