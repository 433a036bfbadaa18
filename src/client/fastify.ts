import type { LastLogoutClient } from './client.js'
import { toRefusal } from './refusal.js'
import { assertClaims } from './verified-claims.js'

/** What is used of Fastify's request: where `@fastify/jwt` puts the claims. */
interface RequestLike {
  user?: unknown
}

/** What is used of Fastify's reply. */
interface ReplyLike {
  code(status: number): this
  headers(headers: Record<string, string>): this
  send(body: object): this
}

/** How the hook differs from the default. */
export interface FastifyOptions<Request> {
  /** Where the verified claims are, if not in `request.user`, where `@fastify/jwt` puts them. */
  getClaims: (request: Request) => object | undefined
}

/** What is used of a Fastify `preHandler`. */
type Hook<Request> = (request: Request, reply: ReplyLike) => Promise<ReplyLike | undefined>

/**
 * A Fastify hook to run after `jwtVerify` of `@fastify/jwt`, or `authenticate` of
 * `fastify-auth0-verify`: refuses logged-out tokens. A request without verified claims is an error,
 * not a way around the check.
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
  const source = options ? 'what getClaims returned' : 'request.user'
  return async (request, reply) => {
    const found = options ? options.getClaims(request) : request.user
    const refusal = toRefusal(await client.check(assertClaims(found, source)))
    return refusal
      ? reply.code(refusal.status).headers(refusal.headers).send(refusal.body)
      : undefined
  }
}
