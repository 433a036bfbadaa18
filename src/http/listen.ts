import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { LastLogoutError } from '../errors.js'

/** An address, and the environment variable that sets its port. */
interface ListenOptions {
  host: string
  port: number
  variable: 'PORT' | 'WORKER_PORT'
}

/**
 * Starts listening. `localhost` means 127.0.0.1 and, if the machine has IPv6, ::1.
 *
 * @returns The URL of the app.
 * @throws `CANNOT_LISTEN` when the address cannot be bound.
 */
export async function listen(
  app: FastifyInstance,
  { host, port, variable }: ListenOptions,
): Promise<string> {
  try {
    if (host !== 'localhost') return await app.listen({ host, port })
    const url = await app.listen({ host: '127.0.0.1', port })
    await listenOnIpv6(app)
    return url
  } catch (error) {
    const { code } = Object(error)
    throw new LastLogoutError(
      'CANNOT_LISTEN',
      `cannot listen on port ${port} of ${host} (${code})${describeRefusal(code, variable)}`,
      { cause: error },
    )
  }
}

/** Error codes of Node.js on a machine without IPv6. */
const NO_IPV6 = ['EADDRNOTAVAIL', 'EAFNOSUPPORT']

/**
 * Listens on ::1, and passes the connections to the server of the app. Fastify's own second server would lack the
 * limits of this service. Node.js applies `maxConnections` only to connections that the server itself accepts, so this
 * function counts the connections.
 */
async function listenOnIpv6({ server }: FastifyInstance): Promise<void> {
  const { port } = server.address() as AddressInfo
  let connections = 0
  server.on('connection', (socket) => {
    connections++
    socket.once('close', () => connections--)
    if (connections > (server.maxConnections ?? Number.POSITIVE_INFINITY))
      refuseConnection(server, socket)
  })
  const relay = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
    server.emit('connection', socket),
  )
  try {
    await once(relay.listen(port, '::1'), 'listening')
  } catch (error) {
    if (NO_IPV6.includes(Object(error).code)) return
    throw error
  }
  relay.on('error', (error) => server.emit('error', error))
  server.once('close', () => relay.close())
}

function refuseConnection(server: Server, socket: Socket): void {
  const { remoteAddress } = socket
  socket.destroy()
  server.emit('drop', { remoteAddress })
}

/** Describes why an address cannot be bound, and what an operator should do. */
function describeRefusal(code: unknown, variable: string): string {
  switch (code) {
    case 'EADDRINUSE':
      return `: another process listens there; stop it, or set ${variable} to a free port`
    case 'EACCES':
      return `: this user may not use the port; set ${variable} to a port from 1024 on`
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return ': HOST is not an address of this machine; set it to one, such as 127.0.0.1 or 0.0.0.0'
    default:
      return `: set ${variable} to a free port, or HOST to an address of this machine`
  }
}
