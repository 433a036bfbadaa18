import type { Server } from 'node:http'
import type { FastifyHttpOptions } from 'fastify'
import { MAX_ID_LENGTH } from '../rules/id.js'

/**
 * Maximum number of open connections. Further connections are closed at once. Each connection takes some kilobytes and a
 * file descriptor.
 */
export const MAX_CONNECTIONS = 10_000

/** Timeout for receiving the headers of a request, and for the whole request, in milliseconds. */
const REQUEST_TIMEOUT_MS = 10_000

/** Sizes and timeouts of requests and connections. */
export const HTTP_LIMITS = {
  /** Maximum size of a body, in bytes. It usually contains the claims of a token, of which Auth0 allows 100 KB. */
  bodyLimit: 256 * 1024,
  // Time without any traffic. Node doubles this timeout for a client that does not read the response.
  connectionTimeout: 30_000,
  requestTimeout: REQUEST_TIMEOUT_MS,
  keepAliveTimeout: 65_000,
  // A character takes up to four bytes. A percent-encoded byte takes three characters.
  routerOptions: { maxParamLength: MAX_ID_LENGTH * 12 },
  http: {
    // The longest user id and session id, percent-encoded, take 14.4 KB. The rest is for headers.
    maxHeaderSize: 24 * 1024,
    headersTimeout: REQUEST_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    // The default, 30 s, would extend these timeouts.
    connectionsCheckingInterval: 1_000,
  },
} satisfies FastifyHttpOptions<Server>

/** Type of {@link HTTP_LIMITS}. */
export type HttpLimits = typeof HTTP_LIMITS
