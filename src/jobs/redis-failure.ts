import { LastLogoutError } from '../errors.js'
import { describeTlsFailure } from '../tls.js'

/** The cause of a failure of Redis, and how to correct it. */
export interface RedisFailure {
  /** Failures of one kind have the same cause. {@link UNREACHABLE}: the cause is unknown. */
  kind: string
  /** The error of the server or of the connection. For a cluster, this is the error that ioredis wraps. */
  cause: unknown
  /** The error code of the system, or the first word of the reply, such as `NOAUTH`. For other replies, their text. */
  code: unknown
  advice: string
}

/** The kind of a failure without a reply that states the cause, such as a lost connection or a timeout. */
export const UNREACHABLE = 'unreachable'

/** Rules of `ACL SETUSER` that permit the keys of the queue, and the commands of BullMQ. */
const ACL_RULES = {
  keys: "'~{last-logout:*'",
  commands: "+@connection +@read +@write +@scripting -@dangerous +info '+cluster|slots'",
}

/** Replies that refuse a command or a key to the user, or to a script of the user. */
const PERMISSION_REPLY = /\bNOPERM\b|ACL failure in script|The user executing the script can't/

const CHECK_CREDENTIALS = 'check the user and the password in REDIS_URL'

/** Advice by {@link RedisFailure.code}. */
const ADVICE = new Map([
  ['NOAUTH', CHECK_CREDENTIALS],
  ['WRONGPASS', CHECK_CREDENTIALS],
  [
    'MOVED',
    'REDIS_URL leads to a node of a cluster that does not support CLUSTER SLOTS: permit this command to the user',
  ],
  ['READONLY', 'REDIS_URL leads to a replica: use the host of its primary'],
  ['OOM', 'Redis is full: raise its maxmemory, or remove other keys from it'],
  ['MISCONF', 'Redis cannot write to its disk: see the log of Redis'],
  ['LOADING', 'Redis is loading its data: wait, or see the log of Redis'],
  ['MASTERDOWN', 'the primary of this replica is unavailable: check it'],
])

/** The default port of Sentinel. If a Sentinel refuses the password, only this port shows that it is a Sentinel. */
const SENTINEL_PORT = '26379'
const SENTINEL_HINT = '. Port 26379 is that of Redis Sentinel, which is not supported'

const CHECK_REPLY =
  'Redis refuses a command: check the number of the database in REDIS_URL, and that the server is one that docs/configuration.md names'

const CHECK_SERVER =
  'check that Redis runs and is reachable from this host, and that REDIS_URL is correct'

/** Whether a reply refuses a command or a key to the user. */
export function isPermissionReply(message: string): boolean {
  return PERMISSION_REPLY.test(message)
}

/**
 * Returns advice for a failure of TLS. A retry does not help against these failures.
 *
 * @param code The `code` of Node's error.
 * @returns `null` if the code does not stand for a failure of TLS.
 */
export function describeRedisTlsFailure(code: unknown): string | null {
  const failure = describeTlsFailure(code)
  return (
    failure &&
    `${failure} for Redis (${code}): set NODE_EXTRA_CA_CERTS to the file of the CA certificate, use a host name in REDIS_URL that the certificate contains, and use rediss: only for a server with TLS`
  )
}

/** Explains an error of ioredis or BullMQ. `url` is the URL of the server, or of one node of the cluster. */
export function explainRedisFailure(error: unknown, url: string): RedisFailure {
  const cause = Object(error).lastNodeError ?? error
  const { code: systemCode, message = String(cause) } = Object(cause)
  // A reply of Redis begins with a word such as WRONGPASS. For a cluster, ioredis quotes the reply in a longer message.
  const [, word] = /(?:^|ReplyError: )([A-Z]{3,})\b/.exec(message) ?? []
  const code = systemCode ?? (word === 'ERR' ? undefined : word)
  if (cause instanceof LastLogoutError) return { kind: message, cause, code, advice: message }

  const { protocol, hostname, port, username } = new URL(url)
  const address = { host: hostname || 'localhost', port: port || '6379' }
  const tls = protocol === 'rediss:' ? ' --tls' : ''
  const hint = port === SENTINEL_PORT ? SENTINEL_HINT : ''
  const describe = (kind: string, advice: string) => ({ kind, cause, code, advice: advice + hint })
  if (isPermissionReply(message)) {
    const user = quote(decodeURIComponent(username) || 'default')
    const kind = /\bkeys?\b/.test(message) ? 'keys' : 'commands'
    const command = `redis-cli -h ${address.host} -p ${address.port}${tls} ACL SETUSER ${user} ${ACL_RULES[kind]}`
    return describe(kind, `run \`${command}\`, for a cluster on each node`)
  }
  if (code === 'CLUSTERDOWN') {
    const command = `redis-cli --cluster check ${address.host}:${address.port}${tls}`
    return describe(
      code,
      `the cluster has no primary for the slot of the queue: run \`${command}\``,
    )
  }
  const tlsFailure = describeRedisTlsFailure(code)
  if (tlsFailure !== null) return describe('tls', tlsFailure)
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return describe(UNREACHABLE, 'check the host name in REDIS_URL')
  }
  const advice = ADVICE.get(code)
  if (advice !== undefined) return describe(code, advice)
  if (Object(cause).name !== 'ReplyError') return describe(UNREACHABLE, CHECK_SERVER)
  // After these words, Redis quotes the arguments of the command, which can be a password.
  const [reply] = message.split(/,? with args/)
  return { ...describe('reply', CHECK_REPLY), code: reply }
}

/** Quotes an argument for a shell, if the argument contains special characters. */
function quote(text: string): string {
  return /^[\w.@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
