import type { Claims, LastLogoutClient } from './client.js'
import { toRefusal } from './refusal.js'

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

/** A token of which it cannot be said whether it is revoked; Express answers by `status` and `headers`. */
class Unknown extends Error {
  override readonly name = 'LastLogoutUnknownError'
  readonly status = 503
  readonly headers: Record<string, string>

  constructor(message: string, headers: Record<string, string>) {
    super(message)
    this.headers = headers
  }
}

/**
 * The `isRevoked` of `express-jwt`. Throws where it cannot be said: the request then ends with 503,
 * not as one of a revoked token.
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
    if (refusal?.status === 503) throw new Unknown(refusal.body.error_description, refusal.headers)
    return refusal !== null
  }
}

function misplaced(): TypeError {
  return new TypeError(
    'lastLogout(client) found no verified claims: put it after auth() of express-oauth2-jwt-bearer, or give it the same authRequired: false',
  )
}
