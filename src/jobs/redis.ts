import { type BackendFactory, QueueKeys, RedisConnection, RedisQueueBackend } from 'bullmq'
import { Cluster, Redis, type RedisOptions } from 'ioredis'

/** A Redis server or cluster that has responded. */
export interface RedisServer {
  /** Whether the server rejects writes because it copies a primary. */
  isReplica: boolean
  /** Undefined if the server does not state it. */
  maxmemoryPolicy: string | undefined
  /** Opens a connection that reconnects whenever it is lost. */
  connect(limits: Limits): Redis | Cluster
  /** Closes the connections that are still open. */
  disconnect(): void
}

/** How long a connection waits for a server that is unavailable. */
type Limits = Pick<
  RedisOptions,
  'enableOfflineQueue' | 'maxRetriesPerRequest' | 'commandTimeout' | 'socketTimeout'
>

/** Timeout of connecting and of each response, in milliseconds. */
const TIMEOUT_MS = 5_000
const MAX_RETRY_DELAY_MS = 2_000

/** The worker's wait for a job has no timeout here: BullMQ ends it. */
const WORKER_WAIT: Limits = { maxRetriesPerRequest: null }

/** Connects once, and reads the state of the server. Rejects when Redis is unreachable or rejects the credentials. */
export async function findRedis(url: string, timeoutMs = TIMEOUT_MS): Promise<RedisServer> {
  const { options, info } = await readInfo(url, timeoutMs)
  const isCluster = /^redis_mode:cluster/m.test(info)
  const clients: (Redis | Cluster)[] = []
  return {
    // In a cluster, the client finds the primaries itself.
    isReplica: !isCluster && /^role:slave/m.test(info),
    maxmemoryPolicy: /^maxmemory_policy:(\S+)/m.exec(info)?.[1],
    connect(limits) {
      const client = isCluster ? connectCluster(options, limits) : connectServer(url, limits)
      clients.push(client)
      return client
    },
    disconnect() {
      for (const client of clients) if (client.status !== 'end') client.disconnect()
    },
  }
}

/** Reads INFO over a connection that is not retried. */
async function readInfo(
  url: string,
  timeoutMs: number,
): Promise<{ options: RedisOptions; info: string }> {
  const client = new Redis(url, {
    retryStrategy: () => null,
    enableReadyCheck: false,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
  })
  // The event contains the cause of a failed connection; the rejection of the command does not.
  const failed = new Promise<never>((_, reject) => client.on('error', reject))
  try {
    return { options: client.options, info: await Promise.race([client.info(), failed]) }
  } finally {
    client.disconnect()
  }
}

function connectServer(url: string, limits: Limits): Redis {
  return new Redis(url, {
    ...limits,
    retryStrategy: (times) => Math.min(times * 200, MAX_RETRY_DELAY_MS),
    // A demoted primary keeps the connection, and rejects every write with this code.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  })
}

function connectCluster(
  { host, port, username, password, tls }: RedisOptions,
  { enableOfflineQueue = true, ...limits }: Limits,
): Cluster {
  return new Cluster([{ host, port }], {
    enableOfflineQueue,
    redisOptions: { username, password, tls, ...limits },
    // The certificates of the nodes contain names instead of addresses.
    dnsLookup: (address, callback) => callback(null, address),
  })
}

/**
 * Creates BullMQ's own backend for Redis, with limits for each connection. BullMQ's check of the server is
 * skipped, because it prints to the console.
 */
export function createRedisBackendFactory(
  prefix: string,
  timeoutMs: number,
): BackendFactory<RedisQueueBackend, RedisServer> {
  const keys = new QueueKeys(prefix)
  // The queue fails early instead of waiting.
  const queue = { enableOfflineQueue: false, commandTimeout: timeoutMs, socketTimeout: timeoutMs }
  // The commands of a worker wait while Redis is unavailable.
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

/** Allows waits in fractions of a second. BullMQ assumes whole seconds for a server that it has not checked. */
function allowFractions(connection: RedisConnection): RedisConnection {
  const allow = (): void => {
    connection.capabilities = { canDoubleTimeout: true, canBlockFor1Ms: false }
  }
  connection.client.then(allow, () => undefined)
  return connection
}
