import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A server whose routes refuse revoked tokens. */
export interface ProtectedServer {
  url: string
  close(): Promise<void>
}

/** Waits until a server accepts connections. Returns its URL, and a function that closes it. */
export async function waitUntilListening(server: Server): Promise<ProtectedServer> {
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
