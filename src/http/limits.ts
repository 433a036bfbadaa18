import type { Server } from 'node:http'
import type { FastifyHttpOptions } from 'fastify'
import { MAX_ID_LENGTH } from '../rules/id.js'

/**
 * How many connections are open at once; more are closed as they come. Each takes some kilobytes and
 * a file descriptor.
 */
export const MAX_CONNECTIONS = 10_000

/** How long a caller may take to send the head of a request, and all of it, in milliseconds. */
const REQUEST_TIMEOUT_MS = 10_000

/** What a caller may send and how slowly. */
export const LIMITS = {
  /** An access token's claims stay far below; Auth0 allows 100 KB of them. */
  bodyLimit: 256 * 1024,
  // A connection on which nothing moves; twice as long where it is the reader who takes nothing.
  connectionTimeout: 30_000,
  requestTimeout: REQUEST_TIMEOUT_MS,
  keepAliveTimeout: 65_000,
  // Every character may be percent-encoded, over up to four bytes.
  routerOptions: { maxParamLength: MAX_ID_LENGTH * 12 },
  http: {
    // The longest user id and session id, percent-encoded, take 14.4 KB; the rest is for headers.
    maxHeaderSize: 24 * 1024,
    headersTimeout: REQUEST_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    // By default Node looks for slow callers every 30 seconds only.
    connectionsCheckingInterval: 1_000,
  },
} satisfies FastifyHttpOptions<Server>

/** What a caller may send and how slowly: see {@link LIMITS}. */
export type Limits = typeof LIMITS
