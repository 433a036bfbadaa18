import { type BackendFactory, QueueKeys, RedisConnection, RedisQueueBackend } from 'bullmq'
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import { LastLogoutError } from '../errors.js'
import { describeTlsFailure } from '../tls.js'

/** A Redis server or cluster that has answered. */
export interface RedisServer {
  /** Takes no writes: a primary takes them, from which it copies. */
  isReplica: boolean
  /** Undefined where the server does not say. */
  maxmemoryPolicy: string | undefined
  /** Opens a connection that is made again whenever it is lost. */
  connect(limits: Limits): Redis | Cluster
  /** Drops the connections that are still open. */
  disconnect(): void
}

/** How long a connection waits for a server that is away. */
type Limits = Pick<
  RedisOptions,
  'enableOfflineQueue' | 'maxRetriesPerRequest' | 'commandTimeout' | 'socketTimeout'
>

/** How long Redis may take to accept a connection, or to answer. */
const TIMEOUT_MS = 5_000
const MAX_RETRY_DELAY_MS = 2_000

/** For the worker's wait for a job: no answer means no job, and BullMQ ends it in time. */
const WORKER_WAIT: Limits = { maxRetriesPerRequest: null }

/**
 * Connects to Redis. Throws when it cannot be reached or refuses the credentials.
 *
 * @throws `CONFIGURATION` when TLS fails.
 */
export async function findRedis(url: string, timeoutMs = TIMEOUT_MS): Promise<RedisServer> {
  const { options, info } = await ask(url, timeoutMs).catch(throwTlsFailure)
  const isCluster = /^redis_mode:cluster/m.test(info)
  const clients: (Redis | Cluster)[] = []
  return {
    // In a cluster, the primaries are found by themselves.
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

/** Throws `CONFIGURATION` instead of an error of TLS, which no retry resolves. */
function throwTlsFailure(error: unknown): never {
  const { code } = Object(error)
  const failure = describeTlsFailure(code)
  if (failure === null) throw error
  throw new LastLogoutError(
    'CONFIGURATION',
    `${failure} for Redis (${code}): set NODE_EXTRA_CA_CERTS to the file of the CA certificate, use a host name in REDIS_URL that the certificate contains, and rediss: only for a server with TLS`,
    { cause: error },
  )
}

/** Reads INFO over a connection that is tried once. */
async function ask(
  url: string,
  timeoutMs: number,
): Promise<{ options: RedisOptions; info: string }> {
  const client = new Redis(url, {
    retryStrategy: () => null,
    enableReadyCheck: false,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
  })
  // The event says why a connection failed, the command only that it did.
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
    // A primary that has been demoted keeps the connection, and refuses every write by this code.
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
    // The nodes' certificates bear names, not addresses.
    dnsLookup: (address, callback) => callback(null, address),
  })
}

/**
 * Makes BullMQ's own backend for Redis, but with limits for each connection, and without its check
 * of the server, which prints to the console.
 */
export function createRedisBackendFactory(
  prefix: string,
  timeoutMs: number,
): BackendFactory<RedisQueueBackend, RedisServer> {
  const keys = new QueueKeys(prefix)
  // An error soon rather than an answer late.
  const queue = { enableOfflineQueue: false, commandTimeout: timeoutMs, socketTimeout: timeoutMs }
  // A worker's commands wait for as long as Redis is away.
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

/** BullMQ takes a server that it has not checked for one that can only wait for whole seconds. */
function allowFractions(connection: RedisConnection): RedisConnection {
  const allow = (): void => {
    connection.capabilities = { canDoubleTimeout: true, canBlockFor1Ms: false }
  }
  connection.client.then(allow, () => undefined)
  return connection
}
