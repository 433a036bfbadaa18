import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type ApiKey, type Role, readKey } from '../config/api-keys.js'
import type { AuthFailure } from '../measurements.js'
import { sendError } from './errors.js'
import { throttleFailedAuth } from './failed-auth.js'

/** Who may use a route: keys with a role, all keys, Auth0's log stream, or every caller, without a key. */
type Access = Role | 'any key' | 'log stream' | 'public'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Default: `any key`, so that paths that do not exist require a key too. */
    access?: Access
  }
  interface FastifyRequest {
    /** The key of the request; `null`: the request has no key, or does not need one. */
    caller: Omit<ApiKey, 'key'> | null
    /** Why the request was rejected; `null`: it was not rejected for its key. */
    authFailure: AuthFailure | null
  }
}

/** The header with the key of a gateway that sends the token of a user in `Authorization`. */
export const GATEWAY_KEY_HEADER = 'x-last-logout-key'

const UNKNOWN_GATEWAY =
  'the key of the gateway is missing or unknown: send a key of API_KEYS with the role forward-auth in X-Last-Logout-Key'

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
  app.decorateRequest('caller', null)
  app.decorateRequest('authFailure', null)

  /** Compares with every key, so that the duration does not depend on which key matches. */
  const findCaller = (key: string) => {
    const digest = sha256(key)
    return callers.filter((caller) => timingSafeEqual(caller.digest, digest)).at(0)
  }

  /** Rejects a request without a valid key. Counts it, unless it has no credentials. */
  const reject = async (request: FastifyRequest, reply: FastifyReply, hasCredentials: boolean) => {
    request.authFailure = hasCredentials ? 'unknown_key' : 'no_key'
    const waitSeconds = hasCredentials ? await recordFailure(request) : 0
    if (waitSeconds > 0) return sendTooManyFailures(reply, waitSeconds)
    // The users of a gateway must not get a 401: their clients would discard tokens that may be valid.
    return request.routeOptions.config.access === 'forward-auth'
      ? sendError(reply, 403, UNKNOWN_GATEWAY)
      : sendUnauthorized(request, reply, hasCredentials)
  }
  const rejectRole = (request: FastifyRequest, reply: FastifyReply, message: string) => {
    request.authFailure = 'lacks_role'
    sendError(reply, 403, message)
  }

  // A hook with a callback costs a request less than an async hook.
  app.addHook('onRequest', (request, reply, done) => {
    const access = request.routeOptions.config.access ?? 'any key'
    if (access === 'public') return done()
    const { authorization, [GATEWAY_KEY_HEADER]: gatewayKey } = request.headers
    if (access === 'log stream' && isLogStream(authorization ?? '')) return done()
    // On this path, `Authorization` contains the token of a user. It must never count as a wrong key.
    const credentials = access === 'forward-auth' ? gatewayKey : authorization
    const key = access === 'forward-auth' ? credentials : readKey(authorization)
    const caller = typeof key === 'string' ? findCaller(key) : undefined
    // A valid key always passes, even from an address that is throttled.
    if (caller === undefined) {
      return void reject(request, reply, credentials !== undefined).catch(done)
    }
    request.caller = caller
    if (access === 'any key') return done()
    if (access === 'log stream') {
      const message = 'this path requires LOG_STREAM_TOKEN, not a key of API_KEYS'
      return rejectRole(request, reply, message)
    }
    if (caller.roles.includes(access)) return done()
    rejectRole(request, reply, `the key lacks the role ${access}: add it in API_KEYS`)
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
function sendUnauthorized(request: FastifyRequest, reply: FastifyReply, hasCredentials: boolean) {
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
  return createHash('sha256').update(text).digest()
}
