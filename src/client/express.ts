import type { LastLogoutClient } from './client.js'
import { hasErrorHandler } from './express-errors.js'
import { type Refusal, toRefusal } from './refusal.js'
import { RejectedError } from './rejected-error.js'
import { assertClaims } from './verified-claims.js'

/** The part of an Express request that is used. `express-oauth2-jwt-bearer` sets `auth` to `{ payload }`. */
interface RequestLike {
  auth?: unknown
  headers?: { authorization?: string | undefined }
  app?: unknown
}

/** The part of an Express response that is used. */
interface ResponseLike {
  status(code: number): this
  set(headers: Record<string, string>): this
  json(body: object): this
}

/** The part of an Express request handler that is used. */
type Handler<Request> = (req: Request, res: ResponseLike, next: Next) => Promise<void>

type Next = (error?: unknown) => void

/** Options of the Express middleware. */
export interface ExpressOptions<Request> {
  /** The same as the option `authRequired` of `auth()`: `false` accepts requests without a token. Default `true`. */
  authRequired?: boolean
  /**
   * Returns the verified claims of a request, or `undefined` if it has no token. Default: `req.auth.payload`, and
   * `undefined` if `req.auth` is `undefined`, as `express-oauth2-jwt-bearer` sets them.
   */
  getClaims?: (req: Request) => object | undefined
}

/**
 * Creates an Express middleware that refuses revoked tokens. The middleware runs after `auth()` of
 * `express-oauth2-jwt-bearer`, or with `getClaims` after another JWT library. If a request has no verified claims, the
 * middleware passes a `TypeError` to `next`, so that no request bypasses the check. If the app has an error handler, the
 * middleware passes each refusal to `next` as an error with `status`, `headers` and `code`.
 *
 * @example
 * app.use(auth({ issuerBaseURL, audience }), lastLogout(client))
 * app.use(passport.authenticate('jwt'), lastLogout(client, { getClaims: (req) => req.user }))
 */
export function lastLogout(
  client: LastLogoutClient,
  options?: Pick<ExpressOptions<RequestLike>, 'authRequired'>,
): Handler<RequestLike>
export function lastLogout<Request>(
  client: LastLogoutClient,
  options: ExpressOptions<Request>,
): Handler<Request>
export function lastLogout(
  client: LastLogoutClient,
  { authRequired = true, getClaims }: ExpressOptions<RequestLike> = {},
): Handler<RequestLike> {
  const source = getClaims ? 'the result of getClaims' : 'req.auth.payload'
  return async (req, res, next) => {
    try {
      const claims = getClaims ? getClaims(req) : readPayload(req)
      if (claims !== undefined || authRequired) {
        const decision = await client.check(assertClaims(claims, source))
        const refusal = toRefusal(decision, req.headers?.authorization)
        // `refuse` throws if another handler has sent a response in the meantime. Express 4 does not catch such an error.
        if (refusal !== null) return refuse(refusal, req, res, next)
      }
    } catch (error) {
      return next(error)
    }
    next()
  }
}

/** Returns `undefined` only if `req.auth` is `undefined`. If `req.auth` has no payload, returns `null`: an error. */
function readPayload({ auth }: RequestLike): unknown {
  return auth === undefined ? undefined : (Object(auth).payload ?? null)
}

function refuse(refusal: Refusal, req: RequestLike, res: ResponseLike, next: Next): void {
  const { status, headers, body } = refusal
  // The error handler may not use the headers of an error.
  res.set(headers)
  if (hasErrorHandler(req.app)) next(new RejectedError(refusal))
  else res.status(status).json(body)
}

/** The callback of `express-jwt` 6, which later releases do not pass. */
type RevokedCallback = (error: unknown, revoked?: boolean) => void

/**
 * Creates the option `isRevoked` of `express-jwt` 6, 7 and 8. For a revoked token it throws an error with status 401
 * itself, because the error of `express-jwt` has no `WWW-Authenticate` (RFC 6750 §3). For an unknown revocation status
 * it throws an error with status 503.
 *
 * @example
 * app.use(expressjwt({ secret, algorithms: ['RS256'], isRevoked: isRevoked(client) }))
 */
export function isRevoked(client: LastLogoutClient) {
  async function refuseRevoked(req: unknown, payload: unknown): Promise<false> {
    const claims = assertClaims(payload, 'the payload of the token')
    const { authorization } = Object(Object(req).headers)
    const refusal = toRefusal(await client.check(claims), authorization)
    if (refusal === null) return false
    throw new RejectedError(refusal, refusal.status === 401 ? 'revoked_token' : undefined)
  }

  return async (
    req: unknown,
    token: { payload: object | string } | undefined,
    callback?: RevokedCallback,
  ): Promise<boolean> => {
    if (callback === undefined) return refuseRevoked(req, token?.payload)
    // `express-jwt` 6 passes the payload instead of the token, and ignores the promise.
    await refuseRevoked(req, token).then((revoked) => callback(null, revoked), callback)
    return false
  }
}
