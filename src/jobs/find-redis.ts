import { isIPv6 } from 'node:net'
import { Redis } from 'ioredis'
import { LastLogoutError } from '../errors.js'
import { examineRedis, type FoundRedis, type RedisNode, unsupportedError } from './examine-redis.js'
import type { RedisUrls } from './redis.js'
import { describeRedisTlsFailure } from './redis-failure.js'
import { createTlsOptions } from './redis-tls.js'

/** Maximum number of known nodes that are tried, all at once. */
const MAX_KNOWN_NODES = 16

/** Options of {@link findRedis}. */
export interface FindRedisOptions {
  urls: RedisUrls
  /** Nodes that the cluster announced earlier. They are tried too, because the nodes of the URLs can be down. */
  knownNodes?: RedisNode[] | null
  /** Prefix of the keys that will be used. */
  keyPrefix: string
  /** Timeout of connecting, and of each reply, in milliseconds. */
  timeoutMs: number
}

/**
 * Connects to each URL and each known node once, and returns the result of the first server that responds.
 *
 * @throws `CONFIGURATION` if that server is not supported, or if TLS fails.
 * @throws The error of ioredis if no server responds, or if the server refuses the user.
 */
export async function findRedis(options: FindRedisOptions): Promise<FoundRedis> {
  const { urls, knownNodes } = options
  const knownUrls = (knownNodes ?? []).slice(0, MAX_KNOWN_NODES).map((node) => toUrl(node, urls[0]))
  try {
    const found = await Promise.any([
      ...urls.map((url) => connectOnce(url, options)),
      ...knownUrls.map((url) => connectOnce(url, options).then(assertNode)),
    ])
    if (urls.length > 1 && found.nodes === null) {
      throw unsupportedError(found.options, 'is no node of a cluster: use the URL of one server')
    }
    return found
  } catch (error) {
    if (!(error instanceof AggregateError)) throw error
    throw error.errors.find((each) => each instanceof LastLogoutError) ?? error.errors[0]
  }
}

/** Checks that a server is a node of a cluster. The address of a known node can belong to another server by now. */
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
    // All commands have succeeded, so this error states that the server lacks the database number of the URL. A cluster
    // ignores the number.
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
