import type { Socket } from 'node:net'
import type { Dispatcher, ProxyAgent } from 'undici'

/** The HTTP proxy for connections to Auth0. */
export interface ProxyOptions {
  /** The URL of the proxy, without credentials. */
  url: string
  /** The value of `Proxy-Authorization`. */
  authorization: string | undefined
}

/** A failure to connect to Auth0 through the proxy. */
export class ProxyFailure extends Error {
  override readonly name = 'ProxyFailure'
  /** The status of the response to CONNECT; `null`: there was no response. */
  readonly status: number | null

  constructor(status: number | null, cause?: unknown) {
    super('there is no connection through the proxy', { cause })
    this.status = status
  }
}

/** The open connections to Auth0 through a proxy. */
interface Tunnels {
  agent: ProxyAgent
  destroy(): void
}

/**
 * Creates a `fetch` that connects through an HTTP proxy (CONNECT, RFC 9110 §9.3.6). The `fetch` of Node.js 20 does not
 * support proxies. If the signal of a request aborts, all connections are destroyed, because otherwise undici
 * would continue to open the connection of this request.
 */
export function createProxyFetch(proxy: ProxyOptions): typeof fetch {
  let tunnels: Promise<Tunnels> | undefined
  return async (url, { signal, ...init } = {}) => {
    const { fetch } = await import('undici')
    signal?.throwIfAborted()
    tunnels ??= openTunnels(proxy)
    const currentTunnels = tunnels
    const { agent, destroy } = await currentTunnels
    signal?.throwIfAborted()
    const discardTunnels = () => {
      if (tunnels === currentTunnels) tunnels = undefined
      destroy()
    }
    signal?.addEventListener('abort', discardTunnels)
    try {
      // The types of undici and Node.js differ only in members that are not used here.
      const request = { ...init, signal, dispatcher: agent } as Parameters<typeof fetch>[1]
      return (await fetch(String(url), request)) as unknown as Response
    } finally {
      signal?.removeEventListener('abort', discardTunnels)
    }
  }
}

async function openTunnels({ url, authorization }: ProxyOptions): Promise<Tunnels> {
  const { Pool, ProxyAgent } = await import('undici')
  const sockets = new Set<Socket>()
  const agent = new ProxyAgent({
    uri: url,
    ...(authorization !== undefined && { token: authorization }),
    clientFactory: (origin, options) => {
      const pool = new Pool(origin, options)
      const connect = pool.connect.bind(pool)
      const connectWithoutRetry = async (options: Dispatcher.ConnectOptions) => {
        const { socket, ...response } = await connect(options).catch((cause: unknown) => {
          // After a UND_ERR_SOCKET, undici would repeat the request without delay and without end.
          throw new ProxyFailure(null, cause)
        })
        socket.on('error', () => {})
        if (response.statusCode !== 200) {
          socket.destroy()
          throw new ProxyFailure(response.statusCode)
        }
        sockets.add(socket as Socket)
        socket.once('close', () => sockets.delete(socket as Socket))
        return { socket, ...response }
      }
      return Object.assign(pool, { connect: connectWithoutRetry })
    },
  })
  return {
    agent,
    destroy() {
      for (const socket of sockets) socket.destroy()
      agent.destroy().catch(() => {})
    },
  }
}
