import { hash, timingSafeEqual } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type ApiKey, type Role, readKey } from '../config/api-keys.js'
import type { AuthFailure } from '../measurements.js'
import { sendError } from './errors.js'
import { logMissingRoles, throttleFailedAuth } from './failed-auth.js'

/** The callers that may use a route: those with a role, with any key, Auth0's log stream, or all callers. */
type Access = Role | 'any key' | 'log stream' | 'public'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Default: `any key`. */
    access?: Access
  }
  interface FastifyRequest {
    /** The owner of the key; `null`: the request has no valid key, or needs none. */
    caller: Omit<ApiKey, 'key'> | null
    /** Why authentication failed; `null`: it did not fail. */
    authFailure: AuthFailure | null
  }
}

/** The header with the key of a gateway. Its `Authorization` header contains the token of a user. */
export const GATEWAY_KEY_HEADER = 'x-last-logout-key'

const UNKNOWN_GATEWAY =
  'the key of the gateway is missing or unknown: send a key of API_KEYS with the role forward-auth in X-Last-Logout-Key'

/** Accepted credentials. */
export interface Credentials {
  apiKeys: readonly ApiKey[]
  /** Undefined: there is no log stream. */
  logStreamToken: string | undefined
}

/**
 * Requires the credentials that the `access` of a route demands. Unknown paths require a key, so that callers without a
 * key cannot find out which paths exist.
 */
export async function requireKeys(
  app: FastifyInstance,
  { apiKeys, logStreamToken }: Credentials,
): Promise<void> {
  const callers = apiKeys.map(({ key, ...caller }) => ({ ...caller, digest: sha256(key) }))
  const isLogStream = createTokenCheck(logStreamToken)
  const recordFailure = await throttleFailedAuth(app)
  const logMissingRole = logMissingRoles(app)
  app.decorateRequest('caller', null)
  app.decorateRequest('authFailure', null)

  /** Compares the key with all known keys, so that the duration does not reveal which key matches. */
  const findCaller = (key: string) => {
    const digest = sha256(key)
    return callers.filter((caller) => timingSafeEqual(caller.digest, digest)).at(0)
  }

  /** Rejects a request without a valid key. A wrong key counts towards throttling, a missing key does not. */
  const reject = async (request: FastifyRequest, reply: FastifyReply, hasCredentials: boolean) => {
    request.authFailure = hasCredentials ? 'unknown_key' : 'no_key'
    const waitSeconds = hasCredentials ? await recordFailure(request) : 0
    if (waitSeconds > 0) return sendTooManyFailures(reply, waitSeconds)
    // A gateway would pass a 401 to its users, whose clients would then discard valid tokens.
    return request.routeOptions.config.access === 'forward-auth'
      ? sendError(reply, 403, UNKNOWN_GATEWAY)
      : sendUnauthorized(request, reply, hasCredentials)
  }
  const rejectRole = (request: FastifyRequest, reply: FastifyReply, message: string) => {
    request.authFailure = 'lacks_role'
    logMissingRole(request)
    sendError(reply, 403, message)
  }

  // A hook with a callback is faster than an async hook.
  app.addHook('onRequest', (request, reply, done) => {
    const access = request.routeOptions.config.access ?? 'any key'
    if (access === 'public') return done()
    const { authorization, [GATEWAY_KEY_HEADER]: gatewayKey } = request.headers
    if (access === 'log stream' && isLogStream(authorization ?? '')) return done()
    // A gateway sends the token of a user in `Authorization`. This token must never count as a wrong key.
    const credentials = access === 'forward-auth' ? gatewayKey : authorization
    const key = access === 'forward-auth' ? gatewayKey : readKey(authorization)
    const caller = typeof key === 'string' ? findCaller(key) : undefined
    // A valid key is accepted even from a throttled address.
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

/** Creates a check of the log stream's token. Auth0 sends the configured value, which may begin with `Bearer`. */
function createTokenCheck(token: string | undefined): (authorization: string) => boolean {
  if (token === undefined) return () => false
  const digest = sha256(token)
  return (authorization) =>
    timingSafeEqual(digest, sha256(authorization.replace(/^bearer +/i, ''))) ||
    timingSafeEqual(digest, sha256(authorization))
}

/** Sends a 401. Its body is the same on every path, so that it does not reveal whether the API has a log stream. */
function sendUnauthorized(request: FastifyRequest, reply: FastifyReply, hasCredentials: boolean) {
  // A browser asks its user for a key only if the scheme is `Basic`.
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
