import { type BackendFactory, QueueKeys, RedisConnection, RedisQueueBackend } from 'bullmq'
import { Cluster, Redis, type RedisOptions } from 'ioredis'

/** A Redis server or cluster that has answered. */
export type RedisServer = {
  maxmemoryPolicy: string
  /** Opens a connection that is made again whenever it is lost. */
  connect(temper: Temper): Redis | Cluster
  /** Drops the connections that are still open. */
  disconnect(): void
}

/** How a connection bears with a server that is away. */
type Temper = Pick<
  RedisOptions,
  'enableOfflineQueue' | 'maxRetriesPerRequest' | 'commandTimeout' | 'socketTimeout'
>

const TIMEOUT_MS = 5_000
const RETRY_LIMIT_MS = 2_000

/** For the queue: an error soon rather than an answer late. */
const ASKING: Temper = {
  enableOfflineQueue: false,
  commandTimeout: TIMEOUT_MS,
  socketTimeout: TIMEOUT_MS,
}

/** For the worker: its commands wait for as long as Redis is away. */
const WORKING: Temper = { maxRetriesPerRequest: null, socketTimeout: TIMEOUT_MS }

/** For the worker's wait for a job, which is silent by nature; BullMQ watches over it. */
const WAITING: Temper = { maxRetriesPerRequest: null }

/** Throws when Redis cannot be reached or refuses the credentials. */
export async function findRedis(url: string): Promise<RedisServer> {
  const { options, info } = await ask(url)
  const isCluster = /^redis_mode:cluster/m.test(info)
  const clients: (Redis | Cluster)[] = []
  return {
    maxmemoryPolicy: /^maxmemory_policy:(\S+)/m.exec(info)?.[1] ?? 'unknown',
    connect(temper) {
      const client = isCluster ? connectCluster(options, temper) : connectServer(url, temper)
      clients.push(client)
      return client
    },
    disconnect() {
      for (const client of clients) if (client.status !== 'end') client.disconnect()
    },
  }
}

/** Reads INFO over a connection that is tried once. */
async function ask(url: string): Promise<{ options: RedisOptions; info: string }> {
  const client = new Redis(url, {
    retryStrategy: () => null,
    enableReadyCheck: false,
    connectTimeout: TIMEOUT_MS,
    commandTimeout: TIMEOUT_MS,
  })
  // The event says why a connection failed, the command only that it did.
  const failed = new Promise<never>((_, reject) => client.on('error', reject))
  try {
    return { options: client.options, info: await Promise.race([client.info(), failed]) }
  } finally {
    client.disconnect()
  }
}

function connectServer(url: string, temper: Temper): Redis {
  return new Redis(url, {
    ...temper,
    retryStrategy: (times) => Math.min(times * 200, RETRY_LIMIT_MS),
    // A primary that has been demoted keeps the connection and refuses every write.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  })
}

function connectCluster(
  { host, port, username, password, tls }: RedisOptions,
  { enableOfflineQueue = true, ...temper }: Temper,
): Cluster {
  return new Cluster([{ host, port }], {
    enableOfflineQueue,
    redisOptions: { username, password, tls, ...temper },
    // The nodes' certificates bear names, not addresses.
    dnsLookup: (address, callback) => callback(null, address),
  })
}

/**
 * BullMQ's backend for Redis with a temper to each connection, and without its look at the server,
 * which prints to the console.
 */
export function createRedisBackend(prefix: string): BackendFactory<RedisQueueBackend, RedisServer> {
  const keys = new QueueKeys(prefix)
  return (name, options, { withBlockingConnection: works = false } = {}) => {
    const open = (temper: Temper): RedisConnection =>
      new RedisConnection(options.connection.connect(temper), {
        blocking: temper === WAITING,
        skipVersionCheck: true,
      })
    return new RedisQueueBackend(
      open(works ? WORKING : ASKING),
      name,
      keys.getKeys(name),
      (type) => keys.toKey(name, type),
      options,
      works ? allowFractions(open(WAITING)) : undefined,
    )
  }
}

/** BullMQ takes a server that it has not looked at for one that waits whole seconds only. */
function allowFractions(connection: RedisConnection): RedisConnection {
  const allow = (): void => {
    connection.capabilities = { canDoubleTimeout: true, canBlockFor1Ms: false }
  }
  connection.client.then(allow, () => undefined)
  return connection
}
