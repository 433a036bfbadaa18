import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { joinSockets } from './loopback.js'

/**
 * How the proxy treats a CONNECT request:
 *
 * - `tunnel`: opens the tunnel.
 * - `drop`: closes the connection.
 * - `silent`: keeps the connection open, and sends nothing.
 * - `silent after 200`: sends the status 200, but does not open the tunnel.
 * - a number: refuses the request with this status.
 */
type Treatment = 'tunnel' | 'drop' | 'silent' | 'silent after 200' | number

/** Options of a proxy. */
interface ConnectProxyOptions {
  /** Default: `tunnel`. */
  treatment?: Treatment
  /**
   * Maps the target of a request, such as `tenant.invalid:443`, to the URL of the server to connect to. The proxy
   * connects directly to all other targets.
   */
  routes?: Record<string, string>
  /** The user and the password that the proxy requires, separated by a colon. Default: none. */
  credentials?: string
}

/** An HTTP proxy that opens tunnels with the method CONNECT. */
export interface ConnectProxy {
  /** The URL without credentials. */
  url: string
  /** The targets of all CONNECT requests so far. */
  targets: string[]
  /** The number of open connections. */
  connectionCount(): number
  close(): Promise<void>
}

/** Opens a proxy on the loopback interface. */
export async function openConnectProxy({
  treatment = 'tunnel',
  routes = {},
  credentials,
}: ConnectProxyOptions = {}): Promise<ConnectProxy> {
  const targets: string[] = []
  const sockets = new Set<Socket>()
  const authorization = credentials && `Basic ${Buffer.from(credentials).toString('base64')}`
  const server = createServer()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  server.on('connect', (request, client: Socket) => {
    const target = String(request.url)
    targets.push(target)
    const isAllowed =
      authorization === undefined || request.headers['proxy-authorization'] === authorization
    const status = typeof treatment === 'number' ? treatment : isAllowed ? 200 : 407
    // A socket emits `end` only while its data is read.
    client.on('end', () => client.end()).resume()
    if (treatment === 'drop') client.destroy()
    else if (treatment !== 'silent') client.write(`HTTP/1.1 ${status} Proxy\r\n\r\n`)
    if (status !== 200) client.end()
    else if (treatment === 'tunnel')
      openTunnel(client, new URL(routes[target] ?? `tcp://${target}`))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    targets,
    connectionCount: () => sockets.size,
    async close() {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}

function openTunnel(client: Socket, { port, hostname }: URL): void {
  joinSockets(client, connect(Number(port), hostname))
}
