import { TRPCError } from '@trpc/server'
import { schemeOfClaims } from './challenge-scheme.js'
import type { LastLogoutClient } from './client.js'
import { toRefusal } from './refusal.js'
import { RejectedError } from './rejected-error.js'
import { assertClaims } from './verified-claims.js'

/** Options of the tRPC middleware. */
export interface TrpcOptions<Context> {
  /** `false` accepts calls without a token. Default `true`: a call without a token causes an error. */
  authRequired?: boolean
  /** Returns the verified claims of a context; `undefined` or `null` if the request has no token. */
  getClaims: (ctx: Context) => object | null | undefined
}

/** The used part of the options of a tRPC middleware. */
interface MiddlewareOptions<Context, Result> {
  ctx: Context
  next: () => Promise<Result>
}

/**
 * Creates a tRPC middleware that refuses revoked tokens. The middleware runs after the middleware that requires a user.
 *
 * - The middleware throws a `TRPCError`: `UNAUTHORIZED` for a revoked token, `SERVICE_UNAVAILABLE` for an unknown
 *   revocation status.
 * - If a call has no verified claims, the middleware throws a `TypeError`, so that no call bypasses the check.
 *
 * @example
 * const check = lastLogout(client, { getClaims: (ctx: Context) => ctx.claims })
 * const protectedProcedure = t.procedure.use(check)
 */
export function lastLogout<Context>(
  client: LastLogoutClient,
  { authRequired = true, getClaims }: TrpcOptions<Context>,
) {
  return async <Result>({ ctx, next }: MiddlewareOptions<Context, Result>): Promise<Result> => {
    const maybeClaims = getClaims(ctx)
    if ((maybeClaims ?? null) === null && !authRequired) return next()
    const claims = assertClaims(maybeClaims, 'the result of getClaims')
    const refusal = toRefusal(await client.check(claims), schemeOfClaims(claims))
    if (refusal === null) return next()
    const code = refusal.status === 401 ? 'UNAUTHORIZED' : 'SERVICE_UNAVAILABLE'
    throw new TRPCError({ code, cause: new RejectedError(refusal) })
  }
}

/**
 * The option `responseMeta` of the HTTP adapters of tRPC. It adds `WWW-Authenticate` or `Retry-After` to the response
 * of a refused call. The option cannot add headers to a streamed response, because tRPC sends those headers before it
 * runs the calls.
 *
 * @example
 * createHTTPServer({ router, createContext, responseMeta })
 */
export function responseMeta({ errors }: { errors: readonly Error[] }): { headers: Headers } {
  const headers = new Headers()
  for (const { cause } of errors) {
    if (!(cause instanceof RejectedError)) continue
    for (const [name, value] of Object.entries(cause.headers)) headers.set(name, value)
  }
  return { headers }
}
