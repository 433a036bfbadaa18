import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'

/** The first response of the server: a request for the password in plain text, or for none. */
const AUTHENTICATION = { cleartext: 3, none: 0 }

/** A program that speaks PostgreSQL's protocol, and records everything that it receives. */
export interface FakePostgres {
  port: number
  received(): string
  close(): void
}

/** Opens a program on the loopback interface that a client can take for a PostgreSQL server. */
export async function openFakePostgres(
  authentication: keyof typeof AUTHENTICATION,
): Promise<FakePostgres> {
  const chunks: Buffer[] = []
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.once('data', () => {
      const request = Buffer.from('R\0\0\0\x08\0\0\0\0')
      request.writeInt32BE(AUTHENTICATION[authentication], 5)
      const isReady = Buffer.from('Z\0\0\0\x05I')
      socket.write(authentication === 'none' ? Buffer.concat([request, isReady]) : request)
      // The client ends the connection, or has sent the password by now.
      socket.once('data', () => socket.end())
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    received: () => Buffer.concat(chunks).toString('latin1'),
    close: () => void server.close(),
  }
}
