import { TRPCError } from '@trpc/server'
import { schemeOfClaims } from './challenge-scheme.js'
import type { LastLogoutClient } from './client.js'
import { toRefusal } from './refusal.js'
import { RejectedError } from './rejected-error.js'
import { assertClaims } from './verified-claims.js'

/** Options of the tRPC middleware. */
export interface TrpcOptions<Context> {
  /** `false` accepts calls without a token. Default `true`: such a call causes an error. */
  authRequired?: boolean
  /** Returns the verified claims of a context; `undefined` or `null` if the request has no token. */
  getClaims: (ctx: Context) => object | null | undefined
}

/** The part of a middleware's options that is used. */
interface MiddlewareOptions<Context, Result> {
  ctx: Context
  next: () => Promise<Result>
}

/**
 * Creates a tRPC middleware that refuses revoked tokens. It runs after the middleware that requires a user. It throws a
 * `TRPCError` with the code `UNAUTHORIZED` for a revoked token, and `SERVICE_UNAVAILABLE` for an unknown revocation
 * status. It throws a `TypeError` if a call has no verified claims, so that no call bypasses the check.
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
    const found = getClaims(ctx)
    if ((found ?? null) === null && !authRequired) return next()
    const claims = assertClaims(found, 'the result of getClaims')
    const refusal = toRefusal(await client.check(claims), schemeOfClaims(claims))
    if (refusal === null) return next()
    const code = refusal.status === 401 ? 'UNAUTHORIZED' : 'SERVICE_UNAVAILABLE'
    throw new TRPCError({ code, cause: new RejectedError(refusal) })
  }
}

/**
 * Returns the headers of a response with a refused call, `WWW-Authenticate` or `Retry-After`, for the option
 * `responseMeta` of every HTTP adapter of tRPC. A streamed response has none of them, because tRPC sends its headers
 * before it runs the calls.
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
