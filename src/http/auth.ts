import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type ApiKey, type Role, readKey } from '../config/api-keys.js'
import { sendError } from './errors.js'
import { countFailures } from './failures.js'

/** Who may use a route: callers with a role, every caller with a key, Auth0's log stream, or everybody. */
type Access = Role | 'any key' | 'log stream' | 'everybody'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Without it, every caller with a key: also paths that do not exist are closed. */
    access?: Access
  }
}

/** What callers show. */
export interface Credentials {
  apiKeys: readonly ApiKey[]
  logStreamToken: string | undefined
}

/** Closes every route of the app, those that do not exist too, except where `access` says otherwise. */
export async function requireKeys(
  app: FastifyInstance,
  { apiKeys, logStreamToken }: Credentials,
): Promise<void> {
  const callers = apiKeys.map(({ key, ...caller }) => ({ ...caller, digest: sha256(key) }))
  const isLogStream = createTokenCheck(logStreamToken)
  const countFailure = await countFailures(app)

  /** Looks at every key, so that the time taken tells nothing about any. */
  const findCaller = (presented: string) => {
    const digest = sha256(presented)
    return callers.filter((caller) => timingSafeEqual(caller.digest, digest)).at(0)
  }

  app.addHook('onRequest', async (request, reply) => {
    const access = request.routeOptions.config.access ?? 'any key'
    if (access === 'everybody') return
    if (access === 'log stream' && isLogStream(request.headers.authorization ?? '')) return
    const key = readKey(request.headers.authorization)
    const caller = key === null ? undefined : findCaller(key)
    // Whoever has a right key passes, however many wrong ones come from the same address.
    if (caller === undefined) {
      const waitSeconds = await countFailure(request)
      if (waitSeconds > 0) return tooManyFailures(reply, waitSeconds)
      return unauthorized(request, reply)
    }
    if (access === 'any key') return
    if (access === 'log stream') {
      return sendError(reply, 403, 'this path takes LOG_STREAM_TOKEN, and no key of API_KEYS')
    }
    if (!caller.roles.includes(access)) {
      return sendError(reply, 403, `this key lacks the role ${access}: add it to API_KEYS`)
    }
  })
}

/** Auth0 sends what was entered for it as it is: the token alone, or after `Bearer`. */
function createTokenCheck(token: string | undefined): (authorization: string) => boolean {
  if (token === undefined) return () => false
  const digest = sha256(token)
  return (authorization) =>
    timingSafeEqual(digest, sha256(authorization.replace(/^bearer +/i, ''))) ||
    timingSafeEqual(digest, sha256(authorization))
}

/** Says the same on every path: whether there is a log stream is nobody's business without a key. */
function unauthorized(request: FastifyRequest, reply: FastifyReply) {
  const presented = request.headers.authorization !== undefined
  const isBrowser = request.url.startsWith('/docs')
  const error = presented ? ', error="invalid_token"' : ''
  reply.header('www-authenticate', `${isBrowser ? 'Basic' : 'Bearer'} realm="last-logout"${error}`)
  const message = presented
    ? 'this key is unknown: send one from API_KEYS; a log stream sends LOG_STREAM_TOKEN'
    : 'a key is missing: send `Authorization: Bearer <key>`, with a key from API_KEYS'
  return sendError(reply, 401, message)
}

function tooManyFailures(reply: FastifyReply, waitSeconds: number) {
  reply.header('retry-after', `${waitSeconds}`)
  return sendError(reply, 429, 'too many wrong keys from this address: correct the key, and wait')
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
