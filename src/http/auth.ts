import { hash, timingSafeEqual } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type ApiKey, type Role, readKey } from '../config/api-keys.js'
import { sendError } from './errors.js'
import { throttleFailedAuth } from './failed-auth.js'

/** Who may use a route: keys with a role, all keys, Auth0's log stream, or every caller, without a key. */
type Access = Role | 'any key' | 'log stream' | 'public'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Default: `any key`, so that paths that do not exist require a key too. */
    access?: Access
  }
}

/** Accepted credentials. */
export interface Credentials {
  apiKeys: readonly ApiKey[]
  /** Undefined: there is no log stream. */
  logStreamToken: string | undefined
}

/** Requires a key on every path, including paths that do not exist, unless the route's `access` differs. */
export async function requireKeys(
  app: FastifyInstance,
  { apiKeys, logStreamToken }: Credentials,
): Promise<void> {
  const callers = apiKeys.map(({ key, ...caller }) => ({ ...caller, digest: sha256(key) }))
  const isLogStream = createTokenCheck(logStreamToken)
  const recordFailure = await throttleFailedAuth(app)

  /** Compares with every key, so that the duration does not depend on which key matches. */
  const findCaller = (key: string) => {
    const digest = sha256(key)
    return callers.filter((caller) => timingSafeEqual(caller.digest, digest)).at(0)
  }

  /** Rejects a request without a valid key, and counts it. */
  const reject = async (request: FastifyRequest, reply: FastifyReply) => {
    const waitSeconds = await recordFailure(request)
    if (waitSeconds > 0) return sendTooManyFailures(reply, waitSeconds)
    return sendUnauthorized(request, reply)
  }

  // A hook with a callback costs a request less than an async hook.
  app.addHook('onRequest', (request, reply, done) => {
    const access = request.routeOptions.config.access ?? 'any key'
    if (access === 'public') return done()
    if (access === 'log stream' && isLogStream(request.headers.authorization ?? '')) return done()
    const key = readKey(request.headers.authorization)
    const caller = key === null ? undefined : findCaller(key)
    // A valid key always passes, even from an address that is throttled.
    if (caller === undefined) return void reject(request, reply).catch(done)
    if (access === 'any key') return done()
    if (access === 'log stream') {
      const message = 'this path requires LOG_STREAM_TOKEN, not a key of API_KEYS'
      return void sendError(reply, 403, message)
    }
    if (caller.roles.includes(access)) return done()
    sendError(reply, 403, `the key lacks the role ${access}: add it in API_KEYS`)
  })
}

/** Creates a check that accepts the token alone or after `Bearer`, because Auth0 sends the configured value as it is. */
function createTokenCheck(token: string | undefined): (authorization: string) => boolean {
  if (token === undefined) return () => false
  const digest = sha256(token)
  return (authorization) =>
    timingSafeEqual(digest, sha256(authorization.replace(/^bearer +/i, ''))) ||
    timingSafeEqual(digest, sha256(authorization))
}

/**
 * Rejects a request. The body is the same on every path, so that callers without a key cannot find out whether there is a
 * log stream.
 */
function sendUnauthorized(request: FastifyRequest, reply: FastifyReply) {
  const hasCredentials = request.headers.authorization !== undefined
  const isBrowser = request.url.startsWith('/docs')
  const error = hasCredentials ? ', error="invalid_token"' : ''
  reply.header('www-authenticate', `${isBrowser ? 'Basic' : 'Bearer'} realm="last-logout"${error}`)
  const message = hasCredentials
    ? 'the key is unknown: send a key of API_KEYS, or LOG_STREAM_TOKEN from a log stream'
    : 'the key is missing: send `Authorization: Bearer <key>` with a key of API_KEYS'
  return sendError(reply, 401, message)
}

function sendTooManyFailures(reply: FastifyReply, waitSeconds: number) {
  reply.header('retry-after', `${waitSeconds}`)
  return sendError(reply, 429, 'too many wrong keys from this address: correct the key and wait')
}

function sha256(text: string): Buffer {
  return hash('sha256', text, 'buffer')
}
