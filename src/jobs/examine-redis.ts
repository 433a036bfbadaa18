/*
 * Checks whether a Redis-compatible server supports what BullMQ needs. Where possible, this module runs a command
 * instead of comparing versions, because products number their versions differently. Every user may run HELLO, but many
 * users may not run INFO.
 */
import { type Redis, type RedisOptions, ReplyError } from 'ioredis'
import { LastLogoutError } from '../errors.js'
import { isPermissionReply } from './redis-failure.js'

/** Properties of a Redis server, or of a Redis Cluster. They are read from one node of the cluster. */
export interface RedisServer {
  /** Connection options: host, credentials and TLS. */
  options: RedisOptions
  /** All nodes of the cluster, with the addresses that they announce. `null` if the server is not in a cluster. */
  nodes: RedisNode[] | null
  /**
   * Whether the server is a replica, which refuses writes. Always false in a cluster, where ioredis finds the
   * primaries.
   */
  isReplica: boolean
  /** The Redis setting `maxmemory-policy`. Undefined if the user may not run INFO. */
  maxmemoryPolicy: string | undefined
  /** Whether the user may run INFO. */
  canReadInfo: boolean
}

/** Address of a node. */
export interface RedisNode {
  host: string
  port: number
}

/** The oldest version of Redis that last-logout supports. BullMQ recommends at least this version. */
const MIN_VERSION = '6.2'

const KEEP_IN_POSTGRES =
  'remove REDIS_URL and run `last-logout migrate` to keep the schedule in PostgreSQL'

/** A wait of a fraction of a second. Redis 6.0 and later versions support fractions. */
const SHORT_WAIT_SECONDS = 0.001

/** A script that reads a key without declaring the key, as BullMQ's scripts do. */
const UNDECLARED_KEY_SCRIPT = "return redis.call('EXISTS', KEYS[1] .. ':undeclared')"

/** Reply of a replica to a write. */
const READ_ONLY = /^READONLY\b/

/** Replies of a node of a cluster if another node serves the key. */
const REDIRECTION = /^(MOVED|ASK|TRYAGAIN)\b/

/**
 * Reads the properties of a server, and checks that the user may run the commands that BullMQ needs.
 *
 * @param keyPrefix Prefix of the keys of the queue.
 * @throws `CONFIGURATION` if the server is not supported.
 * @throws The reply of the server if it does not permit a command or a key.
 */
export async function examineRedis(client: Redis, keyPrefix: string): Promise<RedisServer> {
  const { options } = client
  const hello = toFields(await unlessRefused(client.call('HELLO')))
  const infoText = await unlessRefused(client.info())
  const info = new Map(infoText?.split('\r\n').map(splitField))
  assertSupported(options, hello, info)
  // Valkey reports `server_mode` in place of `redis_mode`.
  const mode = hello.get('mode') ?? info.get('redis_mode') ?? info.get('server_mode')
  // In a cluster, a refusal is an error, because ioredis needs this command. Otherwise, there are no nodes to read.
  const slots = client.cluster('SLOTS')
  const nodes = toNodes(await (mode === 'cluster' ? slots : unlessRefused(slots)))
  if (nodes?.some(({ host }) => !host || host === '?')) {
    throw unsupportedError(
      options,
      'is a node of a cluster whose nodes announce no address: set cluster-preferred-endpoint-type to ip or hostname',
    )
  }
  await assertCommands(client, `${keyPrefix}:probe`, nodes !== null)
  return {
    options,
    nodes,
    isReplica: nodes === null && /replica|slave/.test(hello.get('role') ?? info.get('role') ?? ''),
    maxmemoryPolicy: info.get('maxmemory_policy'),
    canReadInfo: infoText !== undefined,
  }
}

function assertSupported(
  options: RedisOptions,
  hello: Map<string, string>,
  info: Map<string, string>,
): void {
  if (hello.get('mode') === 'sentinel' || info.get('redis_mode') === 'sentinel') {
    throw unsupportedError(
      options,
      `is a Redis Sentinel, which is not supported: use the URL of the primary that it monitors, or ${KEEP_IN_POSTGRES}`,
    )
  }
  const version = hello.get('version') ?? info.get('redis_version')
  // Other products number their versions differently. `assertCommands` checks these products.
  const isRedis = (hello.get('server') ?? 'redis') === 'redis' && !info.has('valkey_version')
  if (isRedis && version !== undefined && isOlder(version, MIN_VERSION)) {
    throw unsupportedError(
      options,
      `is Redis ${version}, which is not supported: use Redis ${MIN_VERSION} or later, or Valkey, or ${KEEP_IN_POSTGRES}`,
    )
  }
}

/** Runs the commands of BullMQ that some servers do not support or do not permit. */
async function assertCommands(client: Redis, key: string, isCluster: boolean): Promise<void> {
  const probes = [
    () => client.bzpopmin(key, SHORT_WAIT_SECONDS),
    () => client.eval(UNDECLARED_KEY_SCRIPT, 1, key),
  ]
  for (const probe of probes) {
    try {
      await probe()
    } catch (error) {
      const { message } = Object(error)
      // These replies prove that the server supports the command.
      if (READ_ONLY.test(message) || (isCluster && REDIRECTION.test(message))) continue
      if (!isRefusal(error) || isPermissionReply(message)) throw error
      throw unsupportedError(
        client.options,
        `rejects a command that BullMQ needs (${message}): use Redis ${MIN_VERSION} or later, or Valkey, or ${KEEP_IN_POSTGRES}. Dragonfly needs --default_lua_flags=allow-undeclared-keys`,
      )
    }
  }
}

/** Returns the reply. Returns `undefined` if the server does not support or does not permit the command. */
async function unlessRefused<T>(reply: Promise<T>): Promise<T | undefined> {
  try {
    return await reply
  } catch (error) {
    if (isRefusal(error)) return undefined
    throw error
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof ReplyError && /^(ERR|NOPERM)\b/.test(Object(error).message)
}

/** Creates a `CONFIGURATION` error for a server on which the queue cannot run. */
export function unsupportedError({ host, port }: RedisOptions, problem: string): LastLogoutError {
  return new LastLogoutError('CONFIGURATION', `REDIS_URL: ${host}:${port} ${problem}`)
}

/** Parses the reply of HELLO, in which names and values alternate. */
function toFields(reply: unknown): Map<string, string> {
  const items = Array.isArray(reply) ? reply.map(String) : []
  return new Map(
    items.flatMap((name, index) => (index % 2 === 0 ? [[name, items[index + 1] ?? '']] : [])),
  )
}

function splitField(line: string): [name: string, value: string] {
  const [name = '', ...value] = line.split(':')
  return [name, value.join(':')]
}

/** Parses the reply of CLUSTER SLOTS: a list of slot ranges, each with its nodes. */
function toNodes(reply: unknown): RedisNode[] | null {
  if (!Array.isArray(reply)) return null
  const nodes = reply.flatMap(
    ([, , ...nodesOfRange]: [number, number, ...[string, number][]]) => nodesOfRange,
  )
  // A node that serves several ranges occurs several times.
  return [...new Map(nodes.map(([host, port]) => [`${host}:${port}`, { host, port }])).values()]
}

function isOlder(version: string, minVersion: string): boolean {
  return version.localeCompare(minVersion, 'en', { numeric: true }) < 0
}
