import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A server with routes that a client protects. */
export interface ProtectedServer {
  url: string
  close(): Promise<void>
}

/** Waits until a server listens on the loopback interface. Returns the server's URL. */
export async function serve(server: Server): Promise<ProtectedServer> {
  if (!server.listening) await once(server, 'listening')
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}/`,
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
