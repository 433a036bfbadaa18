import type { Context, Env, MiddlewareHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { checkRequest } from './check-request.js'
import type { LastLogoutClient } from './client.js'

/** Options of the Hono middleware. */
export interface HonoOptions<E extends Env> {
  /** `false` accepts requests without a token. A request with a token is always checked. Default `true`. */
  authRequired?: boolean
  /**
   * Returns the verified claims of a request; `undefined` or `null` if the request has no token. Default:
   * `c.get('jwtPayload')`, which `hono/jwk` and `hono/jwt` set.
   */
  getClaims?: (c: Context<E>) => object | null | undefined
}

/**
 * Creates a Hono middleware that refuses revoked tokens. The middleware runs after `hono/jwk` or `hono/jwt`, or with
 * `getClaims` after another JWT library.
 *
 * - The middleware throws each refusal as an `HTTPException` that contains the response. If the app does not handle the
 *   exception with `app.onError`, Hono sends the response.
 * - If a request has no verified claims, the middleware throws a `TypeError`, so that no request bypasses the check.
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
      // The handler of `app.onError` may ignore the response in the exception.
      for (const [name, value] of Object.entries(headers)) c.header(name, value)
      const res = Response.json(body, { status, headers })
      throw new HTTPException(status, { message: body.error_description, res })
    }
    await next()
  }
}
