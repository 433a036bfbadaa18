import type { Claims, LastLogoutClient } from './client.js'
import { type Refusal, toRefusal } from './refusal.js'

/** What is used of Express's request: where `express-oauth2-jwt-bearer` puts the claims. */
interface RequestLike {
  auth?: { payload?: Claims }
}

/** What is used of Express's response. */
interface ResponseLike {
  status(code: number): this
  set(headers: Record<string, string>): this
  json(body: object): this
}

type Next = (error?: unknown) => void

/** How the middleware differs from the default. */
export interface ExpressOptions {
  /** As of `auth()`: false lets requests without a token pass. Default true. */
  authRequired?: boolean
}

/**
 * Express middleware after `auth()` of `express-oauth2-jwt-bearer`: refuses logged-out tokens. A
 * request that `auth()` has not seen is an error, not a way around the check.
 *
 * @example
 * app.use(auth({ issuerBaseURL, audience }), lastLogout(client))
 */
export function lastLogout(client: LastLogoutClient, { authRequired = true }: ExpressOptions = {}) {
  return async (req: RequestLike, res: ResponseLike, next: Next): Promise<void> => {
    const claims = req.auth?.payload
    if (claims === undefined) return next(authRequired ? misplaced() : undefined)
    const refusal = toRefusal(await client.check(claims))
    if (refusal === null) return next()
    res.status(refusal.status).set(refusal.headers).json(refusal.body)
  }
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
    const claims = token?.payload
    const refusal = toRefusal(await client.check(typeof claims === 'object' ? claims : {}))
    if (refusal !== null) throw new Refused(refusal)
    return false
  }
}

function misplaced(): TypeError {
  return new TypeError(
    'lastLogout(client) found no verified claims: put it after auth() of express-oauth2-jwt-bearer, or give it the same authRequired: false',
  )
}
