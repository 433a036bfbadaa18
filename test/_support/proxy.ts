import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A way to a server that can fall silent. */
export interface Proxy {
  url: string
  /** Passes nothing on, and leaves the connections open. */
  freeze(): void
  /** Breaks the frozen connections, and passes on what new ones send. */
  thaw(): void
  /** Leads new connections to the server that another URL names, and leaves the open ones as they are. */
  leadTo(target: string): void
  close(): Promise<void>
}

/** What PostgreSQL says when it waits for the next query. */
export const READY_FOR_QUERY = Buffer.from('5a0000000549', 'hex')

/** What it says then within a transaction. */
export const READY_IN_TRANSACTION = Buffer.from('5a0000000554', 'hex')

/** Opens a way to the server that a URL names; it falls silent once the server has said `lastWord`, so many times. */
export async function openProxy(target: string, lastWord?: Buffer, times = 1): Promise<Proxy> {
  const url = new URL(target)
  let { hostname, port } = url
  const sockets = new Set<Socket>()
  let isFrozen = false
  let left = times
  // A silent network passes no goodbye on either.
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ port: Number(port), host: hostname, allowHalfOpen: true })
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.on('data', (chunk) => {
        if (!isFrozen) to.write(chunk)
        if (from !== far || lastWord === undefined || !chunk.includes(lastWord)) return
        left--
        isFrozen ||= left === 0
      })
      from.on('end', () => void (isFrozen || to.end()))
      from.on('error', () => {})
      from.on('close', () => to.destroy())
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = () => {
    for (const socket of sockets) socket.destroy()
    sockets.clear()
  }
  url.port = `${(server.address() as AddressInfo).port}`
  return {
    url: url.href,
    freeze: () => {
      isFrozen = true
    },
    thaw: () => {
      isFrozen = false
      cut()
    },
    leadTo(next) {
      ;({ hostname, port } = new URL(next))
    },
    async close() {
      server.close()
      cut()
      await once(server, 'close')
    },
  }
}
