import type { Context, Env, MiddlewareHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { checkRequest } from './check-request.js'
import type { LastLogoutClient } from './client.js'

/** Options of the Hono middleware. */
export interface HonoOptions<E extends Env> {
  /** `false` accepts requests without a token. One with a token is never accepted without the check. Default `true`. */
  authRequired?: boolean
  /**
   * Returns the verified claims of a request; `undefined` or `null` if it has no token. Default: `c.get('jwtPayload')`,
   * as `hono/jwk` and `hono/jwt` set it.
   */
  getClaims?: (c: Context<E>) => object | null | undefined
}

/**
 * Creates a Hono middleware that refuses revoked tokens. It runs after `hono/jwk` or `hono/jwt`, or after another JWT
 * library with `getClaims`. It throws a `TypeError` if a request has no verified claims, so that no request bypasses the
 * check. It refuses by an `HTTPException` with the response, for `app.onError`. Without a handler, Hono sends the
 * response.
 *
 * @example
 * app.use(jwk({ keys, alg: ['RS256'] }), lastLogout(client))
 */
export function lastLogout(
  client: LastLogoutClient,
  options?: Pick<HonoOptions<Env>, 'authRequired'>,
): MiddlewareHandler
export function lastLogout<E extends Env>(
  client: LastLogoutClient,
  options: HonoOptions<E>,
): MiddlewareHandler<E>
export function lastLogout(
  client: LastLogoutClient,
  { authRequired = true, getClaims }: HonoOptions<Env> = {},
): MiddlewareHandler {
  const source = getClaims ? 'the result of getClaims' : "c.get('jwtPayload')"
  return async (c, next) => {
    const claims: unknown = getClaims ? getClaims(c) : c.get('jwtPayload')
    const authorization = c.req.header('authorization')
    const refusal = await checkRequest(client, { claims, source, authorization, authRequired })
    if (refusal !== null) {
      const { status, headers, body } = refusal
      // For a handler of `app.onError` that does not use the response of the error.
      for (const [name, value] of Object.entries(headers)) c.header(name, value)
      const res = Response.json(body, { status, headers })
      throw new HTTPException(status, { message: body.error_description, res })
    }
    await next()
  }
}
