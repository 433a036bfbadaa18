import { type BackendFactory, QueueKeys, RedisConnection, RedisQueueBackend } from 'bullmq'
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import type { FoundRedis } from './examine-redis.js'

/** The URL of a server, or the URLs of some nodes of a cluster, from which the other nodes are discovered. */
export type RedisUrls = readonly [string, ...string[]]

/** Opens connections to a Redis server or cluster. */
export interface RedisConnector {
  /** Opens a connection that reconnects whenever it is lost. */
  connect(limits: Limits): Redis | Cluster
  /** Closes the connections that are still open. */
  disconnect(): void
}

/** Options of {@link createRedisConnector}. */
export interface RedisConnectorOptions {
  urls: RedisUrls
  found: FoundRedis
  /** Timeout of opening a connection, in milliseconds. */
  timeoutMs: number
  /** Called for each failure of a node of the cluster. Other nodes may still respond. */
  onNodeError(error: unknown, node: string): void
}

/** What a connection does while the server is unavailable: the commands that it keeps, its retries and its timeouts. */
type Limits = Pick<
  RedisOptions,
  'enableOfflineQueue' | 'maxRetriesPerRequest' | 'commandTimeout' | 'socketTimeout'
>

const MAX_RETRY_DELAY_MS = 2_000

/** Interval at which each connection to a cluster reads which node serves which slot, in milliseconds. */
const SLOTS_REFRESH_INTERVAL_MS = 5_000

/** Timeout of reading this mapping from one node, in milliseconds. After it, another node is tried. */
const SLOTS_REFRESH_TIMEOUT_MS = 3_000

/** Limits of the connection on which a worker waits for a job. There is no timeout, because BullMQ ends the wait. */
const WORKER_WAIT: Limits = { maxRetriesPerRequest: null }

/** Prefix of the keys of a queue. The braces keep all keys of a queue in one slot of a Redis Cluster. */
export function toKeyPrefix(name: string): string {
  return `{last-logout:${name}}`
}

/** Creates a connector. It opens no connection before `connect` is called. */
export function createRedisConnector(options: RedisConnectorOptions): RedisConnector {
  const clients: (Redis | Cluster)[] = []
  const open = options.found.nodes === null ? connectServer : connectCluster
  return {
    connect(limits) {
      const client = open(options, limits)
      clients.push(client)
      return client
    },
    disconnect() {
      for (const client of clients) if (client.status !== 'end') client.disconnect()
    },
  }
}

function connectServer({ urls, found, timeoutMs }: RedisConnectorOptions, limits: Limits): Redis {
  return new Redis(urls[0], {
    ...limits,
    connectTimeout: timeoutMs,
    // The ready check runs INFO, and prints a warning to the console if INFO is not permitted.
    enableReadyCheck: found.canReadInfo,
    retryStrategy: (times) => Math.min(times * 200, MAX_RETRY_DELAY_MS),
    // A primary that has become a replica keeps the connection open, and refuses every write with this reply.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  })
}

function connectCluster(
  { urls, found, timeoutMs, onNodeError }: RedisConnectorOptions,
  { enableOfflineQueue = true, ...limits }: Limits,
): Cluster {
  const { username, password, tls } = found.options
  // When ioredis has lost all other nodes, it connects to these nodes again. The announced nodes are included, because
  // the nodes of the URLs may be down by then.
  const client = new Cluster([...urls, ...(found.nodes ?? [])], {
    enableOfflineQueue,
    // Without a refresh, ioredis would detect that a node was replaced only by a MOVED reply, which an unresponsive node
    // cannot send.
    slotsRefreshInterval: SLOTS_REFRESH_INTERVAL_MS,
    slotsRefreshTimeout: SLOTS_REFRESH_TIMEOUT_MS,
    // If the cluster is down, the replies to commands state the reason. The ready check would retry, and state no reason.
    enableReadyCheck: false,
    redisOptions: {
      username,
      password,
      tls,
      ...limits,
      connectTimeout: timeoutMs,
      enableReadyCheck: false,
    },
    // Host names are not resolved here: TLS must check the certificate of a node against its name, not its address.
    dnsLookup: (address, callback) => callback(null, address),
  })
  client.on('node error', onNodeError)
  return client
}

/**
 * Creates a factory that opens BullMQ's own backend for Redis with limits for each connection. BullMQ's check of the
 * server version is skipped, because the check prints to the console.
 */
export function createRedisBackendFactory(
  prefix: string,
  timeoutMs: number,
): BackendFactory<RedisQueueBackend, RedisConnector> {
  const keys = new QueueKeys(prefix)
  // If Redis is unavailable, a call of the queue fails at once, but a command of the worker waits.
  const queue = { enableOfflineQueue: false, commandTimeout: timeoutMs, socketTimeout: timeoutMs }
  const worker = { maxRetriesPerRequest: null, socketTimeout: timeoutMs }
  return (name, options, { withBlockingConnection: isWorker = false } = {}) => {
    const open = (limits: Limits): RedisConnection =>
      new RedisConnection(options.connection.connect(limits), {
        blocking: limits === WORKER_WAIT,
        skipVersionCheck: true,
      })
    return new RedisQueueBackend(
      open(isWorker ? worker : queue),
      name,
      keys.getKeys(name),
      (type) => keys.toKey(name, type),
      options,
      isWorker ? allowFractions(open(WORKER_WAIT)) : undefined,
    )
  }
}

/** Lets BullMQ wait for fractions of a second. By default, it waits for whole seconds if it has not checked the server. */
function allowFractions(connection: RedisConnection): RedisConnection {
  const allow = (): void => {
    connection.capabilities = { canDoubleTimeout: true, canBlockFor1Ms: false }
  }
  connection.client.then(allow, () => undefined)
  return connection
}
