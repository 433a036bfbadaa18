import { createServer, type RequestListener, type Server } from 'node:http'
import type { FastifyBaseLogger } from 'fastify'
import { throttle } from '../async/throttle.js'
import type { HttpLimits } from './limits.js'
import { processInOrder } from './pipelining.js'

/** Minimum interval between two log lines of the same kind, in milliseconds. Clients must not flood the log. */
const LOG_INTERVAL_MS = 60_000

/** Options of {@link createHttpServer}. */
interface HttpServerOptions {
  limits: HttpLimits
  maxConnections: number
  log: FastifyBaseLogger
}

/**
 * Creates the HTTP server. It limits the number of connections, and the number of pipelined requests per connection.
 */
export function createHttpServer(
  handle: RequestListener,
  { limits, maxConnections, log }: HttpServerOptions,
): Server {
  const warnPipelining = throttle(LOG_INTERVAL_MS, (address?: string) =>
    log.warn({ address }, 'connection closed: too many pipelined requests'),
  )
  const warnDropped = throttle(LOG_INTERVAL_MS, (address?: string) =>
    log.warn({ address, maxConnections }, 'connection limit reached'),
  )
  const warnNotAccepted = throttle(LOG_INTERVAL_MS, (err: Error) =>
    log.warn({ err }, 'connection not accepted'),
  )
  const onExceeded = ({ remoteAddress }: { remoteAddress?: string | undefined }) =>
    warnPipelining(remoteAddress)

  const server = createServer(limits.http, processInOrder(handle, { onExceeded }))
  server.keepAliveTimeout = limits.keepAliveTimeout
  server.requestTimeout = limits.requestTimeout
  server.setTimeout(limits.connectionTimeout)
  server.maxConnections = maxConnections
  server.on('drop', (connection) => warnDropped(connection?.remoteAddress))
  server.on('error', (error) => {
    // Without a listener, a connection that cannot be accepted (EMFILE) would end the process. `listen` reports its
    // errors.
    if (server.listening) warnNotAccepted(error)
  })
  return server
}
