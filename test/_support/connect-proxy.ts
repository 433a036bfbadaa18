import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { joinSockets } from './loopback.js'

/**
 * What a proxy does with a CONNECT request:
 *
 * - `tunnel`: opens the tunnel.
 * - `drop`: closes the connection.
 * - `silent`: sends nothing.
 * - `silent after 200`: sends the status 200, and then nothing.
 * - a number: refuses with this status.
 */
type Treatment = 'tunnel' | 'drop' | 'silent' | 'silent after 200' | number

/** Options of a proxy. */
interface ConnectProxyOptions {
  /** Default: `tunnel`. */
  treatment?: Treatment
  /** Maps a target such as `tenant.invalid:443` to the URL of a server. Other targets are used unchanged. */
  routes?: Record<string, string>
  /** The user and the password that the proxy requires, separated by a colon. Default: none. */
  credentials?: string
}

/** An HTTP proxy that opens tunnels (CONNECT). */
export interface ConnectProxy {
  /** The URL without credentials. */
  url: string
  /** The targets of all CONNECT requests so far. */
  targets: string[]
  /** The number of open connections. */
  connections(): number
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
    // Only a socket that is being read emits `end` when the client disconnects.
    client.on('end', () => client.end()).resume()
    if (treatment === 'drop') client.destroy()
    else if (treatment !== 'silent') client.write(`HTTP/1.1 ${status} Proxy\r\n\r\n`)
    if (status !== 200) client.end()
    else if (treatment === 'tunnel') tunnel(client, new URL(routes[target] ?? `tcp://${target}`))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    targets,
    connections: () => sockets.size,
    async close() {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}

function tunnel(client: Socket, { port, hostname }: URL): void {
  joinSockets(client, connect(Number(port), hostname))
}
