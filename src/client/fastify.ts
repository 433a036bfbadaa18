import type { LastLogoutClient } from './client.js'
import { toErrorResponse } from './error-response.js'
import { assertClaims } from './verified-claims.js'

/** The part of a Fastify request that is used. `@fastify/jwt` sets `user` to the claims. */
interface RequestLike {
  user?: unknown
}

/** The part of a Fastify reply that is used. */
interface ReplyLike {
  code(status: number): this
  headers(headers: Record<string, string>): this
  send(body: object): this
}

/** Options of the Fastify hook. */
export interface FastifyOptions<Request> {
  /** Returns the verified claims of a request. Default: `request.user`, as `@fastify/jwt` sets it. */
  getClaims: (request: Request) => object | undefined
}

/** The part of a Fastify `preHandler` that is used. */
type Hook<Request> = (request: Request, reply: ReplyLike) => Promise<ReplyLike | undefined>

/**
 * Creates a Fastify hook that rejects revoked tokens. It runs after `jwtVerify` of `@fastify/jwt`, or after
 * `authenticate` of `fastify-auth0-verify`. It throws a `TypeError` if a request has no verified claims, so that no
 * request bypasses the check.
 *
 * @example
 * app.get('/orders', { preHandler: [app.authenticate, lastLogout(client)] }, handler)
 */
export function lastLogout(client: LastLogoutClient): Hook<RequestLike>
export function lastLogout<Request>(
  client: LastLogoutClient,
  options: FastifyOptions<Request>,
): Hook<Request>
export function lastLogout(
  client: LastLogoutClient,
  options?: FastifyOptions<RequestLike>,
): Hook<RequestLike> {
  const source = options ? 'the result of getClaims' : 'request.user'
  return async (request, reply) => {
    const claims = options ? options.getClaims(request) : request.user
    const error = toErrorResponse(await client.check(assertClaims(claims, source)))
    return error ? reply.code(error.status).headers(error.headers).send(error.body) : undefined
  }
}
