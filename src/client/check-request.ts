import { hasToken } from './challenge-scheme.js'
import type { LastLogoutClient } from './client.js'
import { type Refusal, refuseToken, toRefusal } from './refusal.js'
import { assertClaims } from './verified-claims.js'

/** A request whose token the JWT library has verified, if it has one. */
export interface VerifiedRequest {
  /** The verified claims; `undefined` or `null`: the JWT library has verified no token. */
  claims: unknown
  /** Where the claims come from, for the message of an error. */
  source: string
  /** The `Authorization` header. */
  authorization: string | null | undefined
  /** `false` accepts a request without a token. */
  authRequired: boolean
}

/**
 * Checks a request after the JWT library. If no token is required, a request with a token that the JWT library has not
 * verified gets 401. No request with a token bypasses the check.
 *
 * @returns The response that refuses the request, or `null` if it may continue.
 * @throws `TypeError` if a token is required, and the claims are not verified claims.
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
