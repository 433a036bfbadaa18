import type { Claims, LastLogoutClient } from './client.js'
import { type Refusal, toRefusal } from './refusal.js'
import { assertClaims } from './verified-claims.js'

/** What is used of Express's request: `express-oauth2-jwt-bearer` puts `{ payload }` into `auth`. */
interface RequestLike {
  auth?: unknown
}

/** What is used of Express's response. */
interface ResponseLike {
  status(code: number): this
  set(headers: Record<string, string>): this
  json(body: object): this
}

/** What is used of an Express request handler. */
type Handler<Request> = (req: Request, res: ResponseLike, next: Next) => Promise<void>

type Next = (error?: unknown) => void

/** How the middleware differs from the default. */
export interface ExpressOptions<Request> {
  /** As of `auth()`: false lets requests without a token pass. Default true. */
  authRequired?: boolean
  /**
   * Where the verified claims are; `undefined`: the request has no token. Default `req.auth.payload`,
   * and no token where `req.auth` is `undefined`, as `express-oauth2-jwt-bearer` has it.
   */
  getClaims?: (req: Request) => object | undefined
}

/**
 * Express middleware after `auth()` of `express-oauth2-jwt-bearer`: refuses logged-out tokens. A
 * request without verified claims is an error, not a way around the check.
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
  const source = getClaims ? 'what getClaims returned' : 'req.auth.payload'
  return async (req, res, next) => {
    try {
      const found = getClaims ? getClaims(req) : readAuth(req)
      const isWithoutToken = found === undefined && !authRequired
      const refusal = isWithoutToken
        ? null
        : toRefusal(await client.check(assertClaims(found, source)))
      // Throws where something else has sent a response meanwhile; Express 4 would not catch that.
      if (refusal !== null) {
        return void res.status(refusal.status).set(refusal.headers).json(refusal.body)
      }
    } catch (error) {
      return next(error)
    }
    next()
  }
}

/** `undefined` only where nothing is in `req.auth`; something else than `{ payload }` is no claims. */
function readAuth({ auth }: RequestLike): unknown {
  return auth === undefined ? undefined : (Object(auth).payload ?? null)
}

/** What a request ends with; Express's own handler answers by `status` and `headers`. */
class Refused extends Error {
  /** As the errors of `express-jwt`, where the token is to blame. */
  override readonly name: string
  readonly code: string
  readonly status: number
  readonly headers: Record<string, string>

  constructor({ status, headers, body }: Refusal) {
    super(body.error_description)
    this.name = status === 401 ? 'UnauthorizedError' : 'LastLogoutUnknownError'
    this.code = status === 401 ? 'revoked_token' : body.error
    this.status = status
    this.headers = headers
  }
}

/**
 * The `isRevoked` of `express-jwt`. Throws itself what `express-jwt` would throw of a revoked token, since
 * that lacks `WWW-Authenticate` (RFC 6750 §3); and where it cannot be said, an error of status 503.
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
    const refusal = toRefusal(await client.check(claims))
    if (refusal !== null) throw new Refused(refusal)
    return false
  }
}
