import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { joinSockets } from './loopback.js'

/**
 * How a proxy treats a CONNECT request. `tunnel` opens the tunnel. `drop` closes the connection. `silent` sends nothing;
 * `silent after 200` sends the status 200 and then nothing. A number is the status with which the proxy refuses.
 */
type Treatment = 'tunnel' | 'drop' | 'silent' | 'silent after 200' | number

/** Options of a proxy. */
interface ConnectProxyOptions {
  /** Default: `tunnel`. */
  treatment?: Treatment
  /** For a target such as `tenant.invalid:443`, the URL of the server to connect to. Default: the target itself. */
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
  server.on('connect', (request, near: Socket) => {
    const target = String(request.url)
    targets.push(target)
    const isAllowed =
      authorization === undefined || request.headers['proxy-authorization'] === authorization
    const status = typeof treatment === 'number' ? treatment : isAllowed ? 200 : 407
    // A socket must be read, or it does not emit `end` when the client disconnects.
    near.on('end', () => near.end()).resume()
    if (treatment === 'drop') near.destroy()
    else if (treatment !== 'silent') near.write(`HTTP/1.1 ${status} Proxy\r\n\r\n`)
    if (status !== 200) near.end()
    else if (treatment === 'tunnel') tunnel(near, new URL(routes[target] ?? `tcp://${target}`))
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

function tunnel(near: Socket, { port, hostname }: URL): void {
  joinSockets(near, connect(Number(port), hostname))
}
