import { Socket } from 'node:net'
import { CLOSE_GRACE_MS } from './timeouts.js'

/** The open sockets of a client or a pool. */
export interface Sockets {
  /** Creates the socket of one connection: the `stream` option of `pg`. */
  open(): Socket
  /**
   * Starts the grace period for closing. After that period, destroys the sockets that are still open, because an
   * unresponsive server never closes its side. The timer does not keep the process alive.
   *
   * @param graceMs Length of the grace period, in milliseconds. Default: {@link CLOSE_GRACE_MS}.
   */
  destroyAfterGrace(graceMs?: number): void
}

/** Tracks the sockets of connections to PostgreSQL, so that no connection stays open after it was closed. */
export function createSockets(): Sockets {
  const sockets = new Set<Socket>()
  return {
    open() {
      const socket = new Socket()
      sockets.add(socket)
      return socket.once('close', () => sockets.delete(socket))
    },
    destroyAfterGrace(graceMs = CLOSE_GRACE_MS) {
      const destroyAll = () => {
        for (const socket of sockets) socket.destroy()
      }
      setTimeout(destroyAll, graceMs).unref()
    },
  }
}
