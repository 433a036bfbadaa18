import { isIPv6 } from 'node:net'
import { Redis } from 'ioredis'
import { LastLogoutError } from '../errors.js'
import { examineRedis, type FoundRedis, type RedisNode, unsupported } from './examine-redis.js'
import type { RedisUrls } from './redis.js'
import { describeRedisTlsFailure } from './redis-failure.js'
import { createTlsOptions } from './redis-tls.js'

/** Maximum number of known nodes that are tried, all at once. */
const MAX_KNOWN_NODES = 16

/** Options of {@link findRedis}. */
export interface FindRedisOptions {
  urls: RedisUrls
  /** Nodes that the cluster announced earlier. They can outlive the nodes of the URLs. Default: none. */
  known?: RedisNode[] | null
  /** Prefix of the keys that will be used. */
  keyPrefix: string
  /** Upper bound of the time for a connection, and for a reply, in milliseconds. */
  timeoutMs: number
}

/**
 * Connects to each URL and each known node once, and returns the result of the first server that responds.
 *
 * @throws `CONFIGURATION` if that server is not supported, or if TLS fails.
 * @throws The error of ioredis if no server responds, or if the server refuses the user.
 */
export async function findRedis(options: FindRedisOptions): Promise<FoundRedis> {
  const { urls, known } = options
  const others = (known ?? []).slice(0, MAX_KNOWN_NODES).map((node) => toUrl(node, urls[0]))
  try {
    const found = await Promise.any([
      ...urls.map((url) => connectOnce(url, options)),
      ...others.map((url) => connectOnce(url, options).then(assertNode)),
    ])
    if (urls.length > 1 && found.nodes === null) {
      throw unsupported(found.options, 'is no node of a cluster: use the URL of one server')
    }
    return found
  } catch (error) {
    if (!(error instanceof AggregateError)) throw error
    throw error.errors.find((each) => each instanceof LastLogoutError) ?? error.errors[0]
  }
}

/** The address of a node that the cluster announced earlier can belong to another server by now. */
function assertNode(found: FoundRedis): FoundRedis {
  if (found.nodes === null || found.nodes.length === 0) throw new Error('no node of the cluster')
  return found
}

function toUrl({ host, port }: RedisNode, url: string): string {
  return Object.assign(new URL(url), { host: isIPv6(host) ? `[${host}]` : host, port }).href
}

async function connectOnce(
  url: string,
  { urls, keyPrefix, timeoutMs }: FindRedisOptions,
): Promise<FoundRedis> {
  const client = new Redis(url, {
    ...(url.startsWith('rediss:') && { tls: createTlsOptions(urls) }),
    retryStrategy: () => null,
    enableReadyCheck: false,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
  })
  // The `error` event states why a connection failed. The error of the failed command does not.
  let reason: unknown
  client.on('error', (error) => {
    reason ??= error
  })
  try {
    const found = await examineRedis(client, keyPrefix)
    // The number of the database in the URL does not exist. In a cluster it is ignored.
    if (reason !== undefined && found.nodes === null) throw reason
    return found
  } catch (error) {
    throw error instanceof LastLogoutError ? error : convertTlsFailure(reason ?? error)
  } finally {
    client.disconnect()
  }
}

/** Returns a `CONFIGURATION` error for a failure of TLS, and any other error as it is. */
function convertTlsFailure(cause: unknown): unknown {
  const failure = describeRedisTlsFailure(Object(cause).code)
  return failure === null ? cause : new LastLogoutError('CONFIGURATION', failure, { cause })
}
