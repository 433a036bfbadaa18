import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

const HOST = '127.0.0.1'

/** A server on the loopback that answers nothing yet. */
export interface Listening {
  server: Server
  url: string
  close(): Promise<void>
}

/** Listens on the preferred port, or on any where it is taken. */
export async function listen(preferredPort: number): Promise<Listening> {
  const server = createServer()
  await listenOn(server, preferredPort).catch(() => listenOn(server, 0))
  const { port } = server.address() as AddressInfo
  return {
    server,
    url: `http://${HOST}:${port}`,
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

async function listenOn(server: Server, port: number): Promise<void> {
  server.listen(port, HOST)
  // Rejects on an error.
  await once(server, 'listening')
}
