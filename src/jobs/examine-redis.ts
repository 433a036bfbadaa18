/*
 * Finds out what a Redis-compatible server can do. If possible, this module tries a command, because the server's
 * description of itself is less reliable: the replies to HELLO and INFO differ between products, and INFO is often not
 * permitted. HELLO is permitted to every user.
 */
import { type Redis, type RedisOptions, ReplyError } from 'ioredis'
import { LastLogoutError } from '../errors.js'
import { isPermissionReply } from './redis-failure.js'

/** The server, or the node of a cluster, that responded, and what {@link examineRedis} found out about it. */
export interface FoundRedis {
  /** Host, credentials and TLS options of the URL whose server responded. */
  options: RedisOptions
  /** The nodes of the cluster, with the addresses that they announce; `null`: the server is not part of a cluster. */
  nodes: RedisNode[] | null
  /** Whether the server is a replica, which refuses writes. False in a cluster, where ioredis finds the primaries. */
  isReplica: boolean
  /** Undefined: the user may not read the policy. */
  maxmemoryPolicy: string | undefined
  /** Whether the user may run INFO. */
  canReadInfo: boolean
}

/** Address of a server. */
export interface RedisNode {
  host: string
  port: number
}

/** Oldest supported version of Redis, which is the oldest that BullMQ recommends. */
const MIN_VERSION = '6.2'

const KEEP_IN_POSTGRES =
  'remove REDIS_URL and run `last-logout migrate` to keep the schedule in PostgreSQL'

/** A wait of less than a second, which needs Redis 6.0. */
const SHORT_WAIT_SECONDS = 0.001

/** A script that reads a key that it does not declare, as BullMQ's scripts do. */
const UNDECLARED_KEY_SCRIPT = "return redis.call('EXISTS', KEYS[1] .. ':undeclared')"

/**
 * Replies of a server that supports the command but cannot run it for this key: `READ_ONLY` of a replica, `REDIRECTION`
 * of a node of a cluster.
 */
const READ_ONLY = /^READONLY\b/
const REDIRECTION = /^(MOVED|ASK|TRYAGAIN)\b/

/**
 * Finds out what a server is, and whether it supports and permits what BullMQ needs.
 *
 * @param keyPrefix Prefix of the keys that will be used.
 * @throws `CONFIGURATION` if the server is not supported.
 * @throws The reply of the server if it does not permit a command or a key.
 */
export async function examineRedis(client: Redis, keyPrefix: string): Promise<FoundRedis> {
  const { options } = client
  const hello = toFields(await unlessRefused(client.call('HELLO')))
  const infoText = await unlessRefused(client.info())
  const info = new Map(infoText?.split('\r\n').map(splitField))
  assertSupported(options, hello, info)
  const mode = hello.get('mode') ?? info.get('redis_mode') ?? info.get('server_mode')
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
  // The versions of other products cannot be compared. `assertCommands` decides for them.
  const isRedis = (hello.get('server') ?? 'redis') === 'redis' && !info.has('valkey_version')
  if (isRedis && version !== undefined && isOlder(version, MIN_VERSION)) {
    throw unsupportedError(
      options,
      `is Redis ${version}, which is not supported: use Redis ${MIN_VERSION} or later, or Valkey, or ${KEEP_IN_POSTGRES}`,
    )
  }
}

/** Runs the commands that BullMQ needs, and that some servers do not support or permit. */
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
      if (READ_ONLY.test(message) || (isCluster && REDIRECTION.test(message))) continue
      if (!isRefusal(error) || isPermissionReply(message)) throw error
      throw unsupportedError(
        client.options,
        `rejects a command that BullMQ needs (${message}): use Redis ${MIN_VERSION} or later, or Valkey, or ${KEEP_IN_POSTGRES}. Dragonfly needs --default_lua_flags=allow-undeclared-keys`,
      )
    }
  }
}

/** Returns the reply, or `undefined` if the server does not know the command or does not permit it to the user. */
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

/** Creates the error for a server that cannot hold the queue. */
export function unsupportedError({ host, port }: RedisOptions, problem: string): LastLogoutError {
  return new LastLogoutError('CONFIGURATION', `REDIS_URL: ${host}:${port} ${problem}`)
}

/** Parses the reply of HELLO, in which names and values alternate. */
function toFields(reply: unknown): Map<string, string> {
  const items = Array.isArray(reply) ? reply.map(String) : []
  return new Map(items.flatMap((item, n) => (n % 2 === 0 ? [[item, items[n + 1] ?? '']] : [])))
}

function splitField(line: string): [name: string, value: string] {
  const [name = '', ...value] = line.split(':')
  return [name, value.join(':')]
}

/** Parses the reply of CLUSTER SLOTS, a list of slot ranges, each with its nodes. */
function toNodes(reply: unknown): RedisNode[] | null {
  if (!Array.isArray(reply)) return null
  const nodesOfRanges = reply.flatMap(
    ([, , ...nodes]: [number, number, ...[string, number][]]) => nodes,
  )
  // A node is listed once for each range that it serves.
  return [
    ...new Map(nodesOfRanges.map(([host, port]) => [`${host}:${port}`, { host, port }])).values(),
  ]
}

function isOlder(version: string, minVersion: string): boolean {
  return version.localeCompare(minVersion, 'en', { numeric: true }) < 0
}
