import { type BackendFactory, QueueKeys, RedisConnection, RedisQueueBackend } from 'bullmq'
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import type { RedisServer } from './examine-redis.js'

/** The URL of a server, or the URLs of some nodes of a cluster. These nodes report the addresses of the other nodes. */
export type RedisUrls = readonly [string, ...string[]]

/** Opens connections to a Redis server or cluster. */
export interface RedisConnector {
  /** Opens a connection. If the connection is lost, the client reconnects. */
  connect(limits: Limits): Redis | Cluster
  /** Closes the connections that are still open. */
  disconnect(): void
}

/** Options of {@link createRedisConnector}. */
export interface RedisConnectorOptions {
  urls: RedisUrls
  server: RedisServer
  /** Timeout of opening a connection, in milliseconds. */
  timeoutMs: number
  /** Called for each failure of one node of the cluster. The other nodes can still be available. */
  onNodeError(error: unknown, node: string): void
}

/** Options of ioredis that determine whether a command waits, is retried or fails while the server is unavailable. */
type Limits = Pick<
  RedisOptions,
  'enableOfflineQueue' | 'maxRetriesPerRequest' | 'commandTimeout' | 'socketTimeout'
>

const MAX_RETRY_DELAY_MS = 2_000

/** Interval at which a connection to a cluster reads which node serves which slot, in milliseconds. */
const SLOTS_REFRESH_INTERVAL_MS = 5_000

/** Timeout of reading the slots from one node, in milliseconds. After this time, ioredis tries another node. */
const SLOTS_REFRESH_TIMEOUT_MS = 3_000

/**
 * Limits of the connection on which a worker waits for a job. No timeout is set here, because BullMQ limits the wait.
 */
const WORKER_WAIT: Limits = { maxRetriesPerRequest: null }

/** Prefix of the keys of a queue. The braces keep all keys of a queue in one slot of a Redis Cluster. */
export function toKeyPrefix(name: string): string {
  return `{last-logout:${name}}`
}

/** Creates a connector without any connection. */
export function createRedisConnector(options: RedisConnectorOptions): RedisConnector {
  const clients: (Redis | Cluster)[] = []
  const open = options.server.nodes === null ? connectServer : connectCluster
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

function connectServer({ urls, server, timeoutMs }: RedisConnectorOptions, limits: Limits): Redis {
  return new Redis(urls[0], {
    ...limits,
    connectTimeout: timeoutMs,
    // The ready check runs INFO, and prints a warning to the console if INFO is not permitted.
    enableReadyCheck: server.canReadInfo,
    retryStrategy: (times) => Math.min(times * 200, MAX_RETRY_DELAY_MS),
    // If the server becomes a replica, it keeps the connection open, but replies to every write with this error.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  })
}

function connectCluster(
  { urls, server, timeoutMs, onNodeError }: RedisConnectorOptions,
  { enableOfflineQueue = true, ...limits }: Limits,
): Cluster {
  const { username, password, tls } = server.options
  // After ioredis has lost all nodes, it connects to the nodes of this list. The nodes of the URLs can be down at that
  // time, so the list also contains the announced nodes.
  const client = new Cluster([...urls, ...(server.nodes ?? [])], {
    enableOfflineQueue,
    // Without these refreshes, ioredis detects the replacement of a node only by a MOVED reply. A node that is down
    // sends no reply.
    slotsRefreshInterval: SLOTS_REFRESH_INTERVAL_MS,
    slotsRefreshTimeout: SLOTS_REFRESH_TIMEOUT_MS,
    // If the cluster is down, the reply to a command states the reason. The ready check would retry without reporting
    // the reason.
    enableReadyCheck: false,
    redisOptions: {
      username,
      password,
      tls,
      ...limits,
      connectTimeout: timeoutMs,
      enableReadyCheck: false,
    },
    // Keeps host names unresolved, because TLS checks the certificate of a node against the host name.
    dnsLookup: (address, callback) => callback(null, address),
  })
  client.on('node error', onNodeError)
  return client
}

/**
 * Creates a factory for BullMQ's Redis backend that sets the limits of each connection. The factory disables BullMQ's
 * check of the server version, because the check prints to the console.
 */
export function createRedisBackendFactory(
  prefix: string,
  timeoutMs: number,
): BackendFactory<RedisQueueBackend, RedisConnector> {
  const keys = new QueueKeys(prefix)
  // While Redis is unavailable, a command of the queue fails at once, and a command of the worker waits.
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
      isWorker ? allowFractionalSeconds(open(WORKER_WAIT)) : undefined,
    )
  }
}

/**
 * Allows BullMQ to wait for fractions of a second. With its check of the server version disabled, BullMQ would wait for
 * whole seconds.
 */
function allowFractionalSeconds(connection: RedisConnection): RedisConnection {
  const allow = (): void => {
    connection.capabilities = { canDoubleTimeout: true, canBlockFor1Ms: false }
  }
  connection.client.then(allow, () => undefined)
  return connection
}
