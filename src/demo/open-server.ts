import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** The address of every server of the demo, unless its user chooses another one. */
export const LOOPBACK = '127.0.0.1'

/** A server without a request handler. */
export interface OpenServer {
  server: Server
  url: string
  close(): Promise<void>
}

/** Opens a server on the preferred port. If this port is not free, opens the server on any free port. */
export async function openServer(preferredPort: number, host = LOOPBACK): Promise<OpenServer> {
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
  // `once` rejects when the server emits an error.
  await once(server, 'listening')
}
