import { Socket } from 'node:net'
import { CLOSE_GRACE_MS } from './timeouts.js'

/** The open sockets of a client or a pool. */
export interface Sockets {
  /** Creates the socket of a connection. Pass this function to `pg` as the option `stream`. */
  open(): Socket
  /**
   * Destroys the sockets that are still open after `graceMs`, because an unresponsive server never closes its side. The
   * timer does not keep the process alive.
   *
   * @param graceMs The grace period, in milliseconds. Default: {@link CLOSE_GRACE_MS}.
   */
  destroyAfterGrace(graceMs?: number): void
}

/** Creates the set of sockets of a client or a pool. */
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
