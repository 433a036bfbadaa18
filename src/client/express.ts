import type { Claims, LastLogoutClient } from './client.js'
import { type ErrorResponse, toErrorResponse } from './error-response.js'
import { assertClaims } from './verified-claims.js'

/** The part of an Express request that is used. `express-oauth2-jwt-bearer` sets `auth` to `{ payload }`. */
interface RequestLike {
  auth?: unknown
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
  /** As the option of `auth()`: `false` accepts requests without a token. Default `true`. */
  authRequired?: boolean
  /**
   * Returns the verified claims of a request, or `undefined` if it has no token. Default: `req.auth.payload`, and
   * `undefined` if `req.auth` is `undefined`, as `express-oauth2-jwt-bearer` sets them.
   */
  getClaims?: (req: Request) => object | undefined
}

/**
 * Creates an Express middleware that rejects revoked tokens. It runs after `auth()` of `express-oauth2-jwt-bearer`, or
 * after another JWT library with `getClaims`. It passes a `TypeError` to the error handler if a request has no
 * verified claims, so that no request bypasses the check.
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
        const error = toErrorResponse(decision)
        // Throws if another handler has sent a response in the meantime. Express 4 does not catch that.
        if (error !== null) return void res.status(error.status).set(error.headers).json(error.body)
      }
    } catch (error) {
      return next(error)
    }
    next()
  }
}

/** Returns `undefined` only if `req.auth` is `undefined`. Any other value without a payload is not accepted as claims. */
function readPayload({ auth }: RequestLike): unknown {
  return auth === undefined ? undefined : (Object(auth).payload ?? null)
}

/** Rejects a request. The default error handler of Express uses `status` and `headers`. */
class RejectedError extends Error {
  /** For a revoked token, the same as of the errors of `express-jwt`. */
  override readonly name: string
  readonly code: string
  readonly status: number
  readonly headers: Record<string, string>

  constructor({ status, headers, body }: ErrorResponse) {
    super(body.error_description)
    this.name = status === 401 ? 'UnauthorizedError' : 'LastLogoutUnknownError'
    this.code = status === 401 ? 'revoked_token' : body.error
    this.status = status
    this.headers = headers
  }
}

/**
 * Creates the option `isRevoked` of `express-jwt`. For a revoked token it throws an error with status 401 itself,
 * because the error of `express-jwt` has no `WWW-Authenticate` (RFC 6750 §3). For an unknown revocation status it
 * throws an error with status 503.
 *
 * @example
 * app.use(expressjwt({ secret, algorithms: ['RS256'], isRevoked: isRevoked(client) }))
 */
export function isRevoked(client: LastLogoutClient) {
  return async (
    _req: unknown,
    token: { payload: Claims | string } | undefined,
  ): Promise<boolean> => {
    const claims = assertClaims(token?.payload, 'the payload of the token')
    const error = toErrorResponse(await client.check(claims))
    if (error !== null) throw new RejectedError(error)
    return false
  }
}
