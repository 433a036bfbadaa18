import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'

const field = (type: string, value: string) => `${type}${value}\0`

/** Creates a message of PostgreSQL's protocol. */
function message(type: string, body: string | Buffer): Buffer {
  const header = Buffer.from(`${type}\0\0\0\0`)
  header.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([header, Buffer.from(body)])
}

/** What the program responds first: a request for the password, no request and readiness, or an error. */
const RESPONSES = {
  cleartext: message('R', '\0\0\0\x03'),
  none: Buffer.concat([message('R', '\0\0\0\0'), message('Z', 'I')]),
  starting: message('E', `${field('S', 'FATAL')}${field('C', '57P03')}${field('M', 'starting')}\0`),
}

/** A program that speaks PostgreSQL's protocol, and records everything that it receives. */
export interface FakePostgres {
  port: number
  received(): string
  close(): void
}

/** Opens a program on the loopback interface that a client can take for a PostgreSQL server. */
export async function openFakePostgres(response: keyof typeof RESPONSES): Promise<FakePostgres> {
  const chunks: Buffer[] = []
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.once('data', () => {
      socket.write(RESPONSES[response])
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
