import { checkRequest } from './check-request.js'
import type { LastLogoutClient } from './client.js'
import type { Refusal } from './refusal.js'
import { RejectedError } from './rejected-error.js'

/**
 * The used part of a Fastify request. `@fastify/jwt` sets `user` to `null`, and after the verification to the claims.
 */
interface RequestLike {
  user?: unknown
  headers?: { authorization?: string | undefined }
  /** The Fastify instance of the route. */
  server?: { errorHandler?: unknown }
}

/** The used part of a Fastify reply. */
interface ReplyLike {
  code(status: number): this
  headers(headers: Record<string, string>): this
  serializer(serialize: (body: unknown) => string): this
  send(body: object): this
}

/** Options of the Fastify hook. */
export interface FastifyOptions<Request> {
  /** `false` accepts requests without a token. A request with a token is always checked. Default `true`. */
  authRequired?: boolean
  /**
   * Returns the verified claims of a request; `undefined` or `null` if the request has no token. Default:
   * `request.user`, which `@fastify/jwt` sets.
   */
  getClaims?: (request: Request) => object | null | undefined
}

/** A Fastify `preHandler`. */
type Hook<Request> = (request: Request, reply: ReplyLike) => Promise<ReplyLike | undefined>

/**
 * Creates a Fastify hook that refuses revoked tokens. The hook runs after `jwtVerify` of `@fastify/jwt`, or after
 * `authenticate` of `fastify-auth0-verify`.
 *
 * - If the app has an error handler (`setErrorHandler`), the hook throws each refusal: an error with `statusCode`,
 *   `headers` and `code`. Otherwise, the hook sends the response.
 * - If a request has no verified claims, the hook throws a `TypeError`, so that no request bypasses the check.
 *
 * @example
 * app.get('/orders', { preHandler: [app.authenticate, lastLogout(client)] }, handler)
 */
export function lastLogout(
  client: LastLogoutClient,
  options?: Pick<FastifyOptions<RequestLike>, 'authRequired'>,
): Hook<RequestLike>
export function lastLogout<Request>(
  client: LastLogoutClient,
  options: FastifyOptions<Request>,
): Hook<Request>
export function lastLogout(
  client: LastLogoutClient,
  { authRequired = true, getClaims }: FastifyOptions<RequestLike> = {},
): Hook<RequestLike> {
  const source = getClaims ? 'the result of getClaims' : 'request.user'
  return async (request, reply) => {
    const claims = getClaims ? getClaims(request) : request.user
    const authorization = request.headers?.authorization
    const refusal = await checkRequest(client, { claims, source, authorization, authRequired })
    return refusal === null ? undefined : refuse(refusal, request, reply)
  }
}

/** The name of Fastify's default error handler. */
const DEFAULT_ERROR_HANDLER = 'defaultErrorHandler'

function refuse(refusal: Refusal, request: RequestLike, reply: ReplyLike): ReplyLike {
  const { status, headers, body } = refusal
  // The error handler may ignore the headers of the error.
  reply.headers(headers)
  const { name } = Object(request.server?.errorHandler)
  if (name !== undefined && name !== DEFAULT_ERROR_HANDLER) throw new RejectedError(refusal)
  // A hook may have set another content type, and the body may not fit the response schema of the route. Without these
  // calls, Fastify would respond with 500, or drop fields of the body.
  reply.headers({ 'content-type': 'application/json; charset=utf-8' }).serializer(JSON.stringify)
  return reply.code(status).send(body)
}
