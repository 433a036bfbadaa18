import type { Server } from 'node:http'
import type { FastifyHttpOptions } from 'fastify'
import { MAX_ID_LENGTH } from '../rules/id.js'

/** Maximum number of open connections. Further connections are closed at once. */
export const MAX_CONNECTIONS = 10_000

/** Timeout for receiving a whole request, in milliseconds. */
const REQUEST_TIMEOUT_MS = 10_000

/** Sizes and timeouts of requests and connections. */
export const HTTP_LIMITS = {
  /**
   * Maximum size of a body, in bytes. The largest bodies contain the claims of a token. Auth0 allows 100 KB of claims.
   */
  bodyLimit: 256 * 1024,
  // Maximum time without traffic on a connection, in milliseconds. If a client does not read the response, Node.js
  // waits for twice this time.
  connectionTimeout: 30_000,
  requestTimeout: REQUEST_TIMEOUT_MS,
  keepAliveTimeout: 65_000,
  // A character of an id takes up to four bytes. A percent-encoded byte takes three characters.
  routerOptions: { maxParamLength: MAX_ID_LENGTH * 12 },
  http: {
    // The URL counts as a header. The longest user id and session id, percent-encoded, take 14.4 KB.
    maxHeaderSize: 24 * 1024,
    headersTimeout: REQUEST_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    // Node.js checks the timeouts at this interval. Its default is 30 s.
    connectionsCheckingInterval: 1_000,
  },
} satisfies FastifyHttpOptions<Server>

/** Type of {@link HTTP_LIMITS}. */
export type HttpLimits = typeof HTTP_LIMITS
