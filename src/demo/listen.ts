import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

const LOOPBACK = '127.0.0.1'

/** A server that answers nothing yet. */
export interface Listening {
  server: Server
  url: string
  close(): Promise<void>
}

/** Listens on the preferred port, or on any where it is taken. */
export async function listen(preferredPort: number, host = LOOPBACK): Promise<Listening> {
  const server = createServer()
  await listenOn(server, preferredPort, host).catch(() => listenOn(server, 0, host))
  const { port } = server.address() as AddressInfo
  return {
    server,
    url: `http://${LOOPBACK}:${port}`,
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

async function listenOn(server: Server, port: number, host: string): Promise<void> {
  server.listen(port, host)
  // Rejects on an error.
  await once(server, 'listening')
}
