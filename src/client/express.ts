import type { LastLogoutClient } from './client.js'
import { hasErrorHandler } from './express-errors.js'
import { type Refusal, toRefusal } from './refusal.js'
import { RejectedError } from './rejected-error.js'
import { assertClaims } from './verified-claims.js'

/** The used part of an Express request. `express-oauth2-jwt-bearer` sets `auth` to `{ payload }`. */
interface RequestLike {
  auth?: unknown
  headers?: { authorization?: string | undefined }
  app?: unknown
}

/** The used part of an Express response. */
interface ResponseLike {
  status(code: number): this
  set(headers: Record<string, string>): this
  json(body: object): this
}

/** An Express request handler. */
type Handler<Request> = (req: Request, res: ResponseLike, next: Next) => Promise<void>

type Next = (error?: unknown) => void

/** Options of the Express middleware. */
export interface ExpressOptions<Request> {
  /** `false` accepts requests without a token, like the option `authRequired` of `auth()`. Default `true`. */
  authRequired?: boolean
  /**
   * Returns the verified claims of a request, or `undefined` if the request has no token. Default: `req.auth.payload`,
   * or `undefined` if `req.auth` is `undefined`. `express-oauth2-jwt-bearer` sets this property.
   */
  getClaims?: (req: Request) => object | undefined
}

/**
 * Creates an Express middleware that refuses revoked tokens. The middleware runs after `auth()` of
 * `express-oauth2-jwt-bearer`, or with `getClaims` after another JWT library.
 *
 * - If the app has an error handler, the middleware passes each refusal to `next`: an error with `status`, `headers`
 *   and `code`. Otherwise, the middleware sends the response.
 * - If a request has no verified claims, the middleware passes a `TypeError` to `next`, so that no request bypasses the
 *   check.
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
        // If another handler has already sent a response, `refuse` throws. Express 4 does not catch this error.
        if (refusal !== null) return refuse(refusal, req, res, next)
      }
    } catch (error) {
      return next(error)
    }
    next()
  }
}

/** Returns the claims; `undefined`: the request has no token; `null`: `req.auth` has no payload, which is an error. */
function readPayload({ auth }: RequestLike): unknown {
  return auth === undefined ? undefined : (Object(auth).payload ?? null)
}

function refuse(refusal: Refusal, req: RequestLike, res: ResponseLike, next: Next): void {
  const { status, headers, body } = refusal
  // The error handler may ignore the headers of the error.
  res.set(headers)
  if (hasErrorHandler(req.app)) next(new RejectedError(refusal))
  else res.status(status).json(body)
}

/** The callback of `isRevoked` in `express-jwt` 6. Later releases use the promise. */
type RevokedCallback = (error: unknown, revoked?: boolean) => void

/**
 * Creates the option `isRevoked` of `express-jwt` 6, 7 and 8. The option throws an error with status 401 for a revoked
 * token, and with status 503 for an unknown revocation status. It never returns `true`, because the resulting error of
 * `express-jwt` would have no `WWW-Authenticate` (RFC 6750 §3).
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
    // `revoked_token` is the code with which `express-jwt` itself refuses a revoked token.
    throw new RejectedError(refusal, refusal.status === 401 ? 'revoked_token' : undefined)
  }

  return async (
    req: unknown,
    token: { payload: object | string } | undefined,
    callback?: RevokedCallback,
  ): Promise<boolean> => {
    if (callback === undefined) return refuseRevoked(req, token?.payload)
    // `express-jwt` 6 passes the payload as the second argument, and ignores the promise.
    await refuseRevoked(req, token).then((revoked) => callback(null, revoked), callback)
    return false
  }
}
