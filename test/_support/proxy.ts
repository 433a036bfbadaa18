import { connect, createServer } from 'node:net'
import { openLoopback } from './loopback.js'

/** A TCP proxy. It can stop forwarding data while its connections stay open. */
export interface Proxy {
  url: string
  /** Stops forwarding data. All connections stay open. */
  freeze(): void
  /** Closes all open connections, and forwards data of new connections again. */
  thaw(): void
  /** Forwards new connections to another server. Open connections stay with their server. */
  redirectTo(target: string): void
  close(): Promise<void>
}

/** The message ReadyForQuery of PostgreSQL, outside of a transaction. Its last byte is `I` (idle). */
export const READY_FOR_QUERY = Buffer.from('5a0000000549', 'hex')

/** The message ReadyForQuery of PostgreSQL, in a transaction. Its last byte is `T` (transaction). */
export const READY_IN_TRANSACTION = Buffer.from('5a0000000554', 'hex')

/**
 * Opens a proxy to the server at `target`.
 *
 * @param freezeAfter If given, the proxy stops forwarding data after the server has sent these bytes `times` times.
 */
export async function openProxy(target: string, freezeAfter?: Buffer, times = 1): Promise<Proxy> {
  const url = new URL(target)
  let { hostname, port } = url
  let isFrozen = false
  let remainingTimes = times
  // With half-open sockets, the proxy can keep one side open after the other side has ended.
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ port: Number(port), host: hostname, allowHalfOpen: true })
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on('data', (chunk) => {
        if (!isFrozen) to.write(chunk)
        if (from !== upstream || freezeAfter === undefined || !chunk.includes(freezeAfter)) return
        remainingTimes--
        isFrozen ||= remainingTimes === 0
      })
      from.on('end', () => void (isFrozen || to.end()))
      from.on('error', () => {})
      from.on('close', () => to.destroy())
    }
  })
  const { port: proxyPort, disconnect, close } = await openLoopback(server)
  url.port = `${proxyPort}`
  return {
    url: url.href,
    freeze: () => {
      isFrozen = true
    },
    thaw: () => {
      isFrozen = false
      disconnect()
    },
    redirectTo(newTarget) {
      ;({ hostname, port } = new URL(newTarget))
    },
    close,
  }
}
