import { connect, createServer } from 'node:net'
import { openLoopback } from './loopback.js'

/** A TCP proxy that can stop forwarding while its connections stay open. */
export interface Proxy {
  url: string
  /** Stops forwarding, and keeps the connections open. */
  freeze(): void
  /** Closes the frozen connections, and forwards new connections. */
  thaw(): void
  /** Forwards new connections to the server of another URL. Open connections are not affected. */
  redirectTo(target: string): void
  close(): Promise<void>
}

/** The message that PostgreSQL sends when it is ready for the next query. */
export const READY_FOR_QUERY = Buffer.from('5a0000000549', 'hex')

/** The message that PostgreSQL sends in a transaction when it is ready for the next query. */
export const READY_IN_TRANSACTION = Buffer.from('5a0000000554', 'hex')

/**
 * Opens a proxy to the server at `target`.
 *
 * @param freezeAfter The proxy freezes after the server has sent these bytes `times` times.
 */
export async function openProxy(target: string, freezeAfter?: Buffer, times = 1): Promise<Proxy> {
  const url = new URL(target)
  let { hostname, port } = url
  let isFrozen = false
  let remaining = times
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
        remaining--
        isFrozen ||= remaining === 0
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
    redirectTo(next) {
      ;({ hostname, port } = new URL(next))
    },
    close,
  }
}
