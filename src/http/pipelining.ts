import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Maximum number of waiting requests on a connection. Proxies and browsers do not pipeline requests. Libraries that
 * pipeline requests usually send at most 10.
 */
export const MAX_WAITING_REQUESTS = 16

/** Options of {@link processInOrder}. */
interface PipeliningOptions {
  /** Called when a connection is closed because it exceeds {@link MAX_WAITING_REQUESTS}. */
  onExceeded(socket: Socket): void
}

/**
 * Passes pipelined requests (RFC 9112 §9.3.2) to `handle` one after the other: a request waits until the previous
 * response has been written. Node.js itself would handle all of them at the same time:
 *
 * - It would keep all responses in memory.
 * - A response that waits for an earlier response emits no `close` event, so a disconnect would stay unnoticed.
 */
export function processInOrder(
  handle: RequestListener,
  { onExceeded }: PipeliningOptions,
): RequestListener {
  /** The waiting requests of each connection that has a request in progress. */
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
    // The response to an earlier request has closed the connection.
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
