import { checkRequest } from './check-request.js'
import type { LastLogoutClient } from './client.js'

/** The used part of a Koa context. `koa-jwt` sets `state.user` to the claims. */
interface ContextLike {
  state: { user?: unknown }
  headers: { authorization?: string | undefined }
  set(headers: Record<string, string>): void
  throw(status: number, message: string, properties: object): never
}

/** A Koa middleware. */
type Middleware<Context> = (ctx: Context, next: () => Promise<unknown>) => Promise<void>

/** Options of the Koa middleware. */
export interface KoaOptions<Context> {
  /** `false` accepts requests without a token. A request with a token is always checked. Default `true`. */
  authRequired?: boolean
  /**
   * Returns the verified claims of a request; `undefined` or `null` if the request has no token. Default:
   * `ctx.state.user`, which `koa-jwt` sets.
   */
  getClaims?: (ctx: Context) => object | null | undefined
}

/**
 * Creates a Koa middleware that refuses revoked tokens. The middleware runs after `koa-jwt`, or with `getClaims` after
 * another JWT library.
 *
 * - The middleware throws each refusal with `ctx.throw`: an error with `status`, `headers`, `code` and `expose`. If no
 *   other middleware catches the error, Koa sends the response.
 * - If a request has no verified claims, the middleware throws a `TypeError`, so that no request bypasses the check.
 *
 * @example
 * app.use(jwt({ secret, algorithms: ['RS256'] })).use(lastLogout(client))
 */
export function lastLogout(
  client: LastLogoutClient,
  options?: Pick<KoaOptions<ContextLike>, 'authRequired'>,
): Middleware<ContextLike>
export function lastLogout<Context>(
  client: LastLogoutClient,
  options: KoaOptions<Context>,
): Middleware<Context>
export function lastLogout(
  client: LastLogoutClient,
  { authRequired = true, getClaims }: KoaOptions<ContextLike> = {},
): Middleware<ContextLike> {
  const source = getClaims ? 'the result of getClaims' : 'ctx.state.user'
  return async (ctx, next) => {
    const claims = getClaims ? getClaims(ctx) : ctx.state.user
    const { authorization } = ctx.headers
    const refusal = await checkRequest(client, { claims, source, authorization, authRequired })
    if (refusal !== null) {
      const { status, headers, body } = refusal
      // A middleware that catches the error may ignore its headers.
      ctx.set(headers)
      // Koa logs errors without `expose`. The client already reports outages to `onError`.
      ctx.throw(status, body.error_description, { code: body.error, headers, expose: true })
    }
    await next()
  }
}
