import { hasToken } from './challenge-scheme.js'
import type { LastLogoutClient } from './client.js'
import { type Refusal, refuseToken, toRefusal } from './refusal.js'
import { assertClaims } from './verified-claims.js'

/** A request that the JWT library has processed. */
export interface VerifiedRequest {
  /** The verified claims; `undefined` or `null`: the JWT library has verified no token. */
  claims: unknown
  /** The source of the claims, such as `request.user`. It is part of the error message. */
  source: string
  /** The `Authorization` header. */
  authorization: string | null | undefined
  /** `false` accepts a request without a token. */
  authRequired: boolean
}

/**
 * Checks a request after the JWT library. If `authRequired` is false, a request without a token may continue, but a
 * request with an unverified token is refused.
 *
 * @returns The response that refuses the request, or `null` if the request may continue.
 * @throws `TypeError` if `authRequired` is true and the claims are not verified claims.
 */
export async function checkRequest(
  client: LastLogoutClient,
  { claims, source, authorization, authRequired }: VerifiedRequest,
): Promise<Refusal | null> {
  if (!authRequired && (claims ?? null) === null) {
    return hasToken(authorization) ? refuseToken('the token was not verified', authorization) : null
  }
  return toRefusal(await client.check(assertClaims(claims, source)), authorization)
}
