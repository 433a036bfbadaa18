/** Authentication scheme of a request with an access token, and of the challenge in its refusal. */
export type ChallengeScheme = 'Bearer' | 'DPoP'

/** Returns the scheme of a request by its `Authorization` header: `DPoP` (RFC 9449 §7.1), else `Bearer`. */
export function schemeOfHeader(authorization: unknown): ChallengeScheme {
  return typeof authorization === 'string' && /^dpop\b/i.test(authorization) ? 'DPoP' : 'Bearer'
}

/** Returns the scheme that a token needs by its claims. A token that is bound to a DPoP key names it (RFC 9449 §6.1). */
export function schemeOfClaims(claims: Record<string, unknown>): ChallengeScheme {
  return typeof Object(claims.cnf).jkt === 'string' ? 'DPoP' : 'Bearer'
}

/** Whether an `Authorization` header holds an access token (RFC 6750 §2.1, RFC 9449 §7.1), verified or not. */
export function hasToken(authorization: unknown): boolean {
  return typeof authorization === 'string' && /^(bearer|dpop)\b/i.test(authorization)
}
