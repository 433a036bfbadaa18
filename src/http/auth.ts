import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ApiKey, Role } from '../config-values.js'

/** Who may use a route: callers with a role, every caller with a key, or everybody. */
type Access = Role | 'any key' | 'everybody'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Without it, every caller with a key: also paths that do not exist are closed. */
    access?: Access
  }
}

/** Closes every route of the app, those that do not exist too, except where `access` says otherwise. */
export function requireKeys(app: FastifyInstance, apiKeys: readonly ApiKey[]): void {
  const callers = apiKeys.map(({ key, ...caller }) => ({ ...caller, digest: sha256(key) }))

  /** Looks at every key, so that the time taken tells nothing about any. */
  const findCaller = (presented: string) => {
    const digest = sha256(presented)
    return callers.filter((caller) => timingSafeEqual(caller.digest, digest)).at(0)
  }

  app.addHook('onRequest', async (request, reply) => {
    const access = request.routeOptions.config.access ?? 'any key'
    if (access === 'everybody') return
    const key = readKey(request)
    const caller = key === null ? undefined : findCaller(key)
    if (caller === undefined) return unauthorized(request, reply, key !== null)
    if (access !== 'any key' && !caller.roles.includes(access)) {
      return reply.code(403).send({
        statusCode: 403,
        error: 'Forbidden',
        message: `this key lacks the role ${access}: add it to API_KEYS`,
      })
    }
  })
}

/** RFC 6750 §2.1; and Basic with the key as password, which is what a browser can send to `/docs`. */
function readKey({ headers }: FastifyRequest): string | null {
  const [, scheme, value] = /^(bearer|basic) +(\S+)$/i.exec(headers.authorization ?? '') ?? []
  if (scheme === undefined || value === undefined) return null
  if (scheme.toLowerCase() === 'bearer') return value
  const credentials = Buffer.from(value, 'base64').toString('utf8')
  return credentials.slice(credentials.indexOf(':') + 1)
}

function unauthorized(request: FastifyRequest, reply: FastifyReply, presented: boolean) {
  const isBrowser = request.url.startsWith('/docs')
  const error = presented ? ', error="invalid_token"' : ''
  reply.header('www-authenticate', `${isBrowser ? 'Basic' : 'Bearer'} realm="last-logout"${error}`)
  return reply.code(401).send({
    statusCode: 401,
    error: 'Unauthorized',
    message: presented
      ? 'this key is not in API_KEYS'
      : 'a key is missing: send `Authorization: Bearer <key>`, with a key from API_KEYS',
  })
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
