import { isIPv6 } from 'node:net'
import { Redis } from 'ioredis'
import { LastLogoutError } from '../errors.js'
import {
  examineRedis,
  type RedisNode,
  type RedisServer,
  unsupportedError,
} from './examine-redis.js'
import type { RedisUrls } from './redis.js'
import { describeRedisTlsFailure } from './redis-failure.js'
import { createTlsOptions } from './redis-tls.js'

/** Maximum number of known nodes to connect to. */
const MAX_KNOWN_NODES = 16

/** Options of {@link findRedis}. */
export interface FindRedisOptions {
  urls: RedisUrls
  /** Nodes that the cluster announced earlier. A known node can respond even while all nodes of the URLs are down. */
  knownNodes?: RedisNode[] | null
  /** Prefix of the keys of the queue. */
  keyPrefix: string
  /** Timeout of connecting, and of each reply, in milliseconds. */
  timeoutMs: number
}

/**
 * Connects to all URLs and known nodes at the same time. Returns the properties of the first server that responds.
 *
 * @throws `CONFIGURATION` if the server is not supported, or if TLS fails.
 * @throws The error of ioredis if no server responds, or if the server refuses the user.
 */
export async function findRedis(options: FindRedisOptions): Promise<RedisServer> {
  const { urls, knownNodes } = options
  const knownUrls = (knownNodes ?? []).slice(0, MAX_KNOWN_NODES).map((node) => toUrl(node, urls[0]))
  try {
    const server = await Promise.any([
      ...urls.map((url) => connectOnce(url, options)),
      ...knownUrls.map((url) => connectOnce(url, options).then(assertNode)),
    ])
    if (urls.length > 1 && server.nodes === null) {
      throw unsupportedError(server.options, 'is no node of a cluster: use the URL of one server')
    }
    return server
  } catch (error) {
    if (!(error instanceof AggregateError)) throw error
    throw error.errors.find((each) => each instanceof LastLogoutError) ?? error.errors[0]
  }
}

/** Throws if the server is not a node of a cluster. Another server may have taken the address of a known node. */
function assertNode(server: RedisServer): RedisServer {
  if (server.nodes === null || server.nodes.length === 0) throw new Error('no node of the cluster')
  return server
}

/** Returns the URL of a node, with the protocol and the credentials of `url`. */
function toUrl({ host, port }: RedisNode, url: string): string {
  return Object.assign(new URL(url), { host: isIPv6(host) ? `[${host}]` : host, port }).href
}

async function connectOnce(
  url: string,
  { urls, keyPrefix, timeoutMs }: FindRedisOptions,
): Promise<RedisServer> {
  const client = new Redis(url, {
    ...(url.startsWith('rediss:') && { tls: createTlsOptions(urls) }),
    retryStrategy: () => null,
    enableReadyCheck: false,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
  })
  // If a connection fails, the `error` event states the reason. The error of the command does not state it.
  let connectionError: unknown
  client.on('error', (error) => {
    connectionError ??= error
  })
  try {
    const server = await examineRedis(client, keyPrefix)
    // If all commands succeed, an error can only be the reply to SELECT: the server lacks the database number of the
    // URL. A cluster ignores the number.
    if (connectionError !== undefined && server.nodes === null) throw connectionError
    return server
  } catch (error) {
    throw error instanceof LastLogoutError ? error : convertTlsFailure(connectionError ?? error)
  } finally {
    client.disconnect()
  }
}

/** Converts a failure of TLS to a `CONFIGURATION` error. Returns any other error unchanged. */
function convertTlsFailure(cause: unknown): unknown {
  const failure = describeRedisTlsFailure(Object(cause).code)
  return failure === null ? cause : new LastLogoutError('CONFIGURATION', failure, { cause })
}
