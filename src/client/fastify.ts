import type { Claims, LastLogoutClient } from './client.js'
import { toRefusal } from './refusal.js'

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

/**
 * A Fastify hook to run after `jwtVerify` of `@fastify/jwt`, or `authenticate` of
 * `fastify-auth0-verify`: refuses logged-out tokens. A request without verified claims is an error,
 * not a way around the check.
 *
 * @example
 * app.get('/orders', { preHandler: [app.authenticate, lastLogout(client)] }, handler)
 */
export function lastLogout(client: LastLogoutClient) {
  return async (request: RequestLike, reply: ReplyLike): Promise<ReplyLike | undefined> => {
    const claims = request.user
    if (typeof claims !== 'object' || claims === null) throw misplaced()
    const refusal = toRefusal(await client.check(claims as Claims))
    return refusal
      ? reply.code(refusal.status).headers(refusal.headers).send(refusal.body)
      : undefined
  }
}

function misplaced(): TypeError {
  return new TypeError(
    'lastLogout(client) found no verified claims: put it after jwtVerify or authenticate',
  )
}
