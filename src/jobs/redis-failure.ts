import { LastLogoutError } from '../errors.js'
import { describeTlsFailure } from '../tls.js'

/** Why Redis does not do what the queue needs. */
export interface RedisFailure {
  /** Distinguishes causes. {@link UNREACHABLE}: none but a lost connection or a timeout. */
  kind: string
  /** The error of the server or of the connection, without the wrapper of a cluster. */
  cause: unknown
  /** Code of the system, or first word of the reply. `undefined` for neither. */
  code: unknown
  advice: string
}

/** Kind of a failure without a reply of the server. */
export const UNREACHABLE = 'unreachable'

/** Rules that permit the keys of the queue, and the commands that BullMQ sends. */
const ACL_RULES = {
  keys: "'~{last-logout:*'",
  commands: "+@connection +@read +@write +@scripting -@dangerous +info '+cluster|slots'",
}

/** Replies in which Redis refuses a command or a key, also those of a script. */
const PERMISSION_REPLY = /\bNOPERM\b|ACL failure in script|The user executing the script can't/

const CHECK_CREDENTIALS = 'check the user and the password in REDIS_URL'

/** What to do, by system error code or by first word of a reply. */
const ADVICE = new Map([
  ['NOAUTH', CHECK_CREDENTIALS],
  ['WRONGPASS', CHECK_CREDENTIALS],
  [
    'MOVED',
    'REDIS_URL leads to a node of a cluster that does not support CLUSTER SLOTS: permit it to the user',
  ],
  ['READONLY', 'REDIS_URL leads to a replica: use the host of its primary'],
  ['OOM', 'Redis is full: raise its maxmemory, or remove other keys from it'],
  ['MISCONF', 'Redis cannot write to its disk: see the log of Redis'],
  ['LOADING', 'Redis is loading its data: wait, or see the log of Redis'],
  ['MASTERDOWN', 'the primary of this replica is unavailable: check it'],
])

/** A Sentinel that requires another password cannot be recognized by its replies. */
const SENTINEL_PORT = '26379'
const SENTINEL_HINT = '. Port 26379 is that of Redis Sentinel, which is not supported'

const CHECK_SERVER = 'check that redis runs and is reachable from here, and REDIS_URL'

/** Whether Redis refuses a command or a key to this user. */
export function isPermissionReply(message: string): boolean {
  return PERMISSION_REPLY.test(message)
}

/**
 * Describes a failure of TLS, which no retry resolves.
 *
 * @param code Code of Node's error.
 * @returns `null` for any other code.
 */
export function describeRedisTlsFailure(code: unknown): string | null {
  const failure = describeTlsFailure(code)
  return (
    failure &&
    `${failure} for Redis (${code}): set NODE_EXTRA_CA_CERTS to the file of the CA certificate, use a host name in REDIS_URL that the certificate contains, and rediss: only for a server with TLS`
  )
}

/** Explains an error of ioredis or BullMQ. `url` is one that led to the server. */
export function explainRedisFailure(error: unknown, url: string): RedisFailure {
  const cause = Object(error).lastNodeError ?? error
  const { code: systemCode, message = String(cause) } = Object(cause)
  // Replies of Redis begin with a word such as WRONGPASS. ioredis quotes the last of a cluster.
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
  return advice === undefined ? describe(UNREACHABLE, CHECK_SERVER) : describe(code, advice)
}

/** Quotes an argument for a shell, if it needs that. */
function quote(text: string): string {
  return /^[\w.@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
