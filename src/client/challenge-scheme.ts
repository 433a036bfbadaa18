/** The scheme in the `Authorization` header of a request. The `WWW-Authenticate` header of a refusal repeats it. */
export type ChallengeScheme = 'Bearer' | 'DPoP'

/** Returns the scheme of a request by its `Authorization` header: `DPoP` (RFC 9449 §7.1), else `Bearer`. */
export function schemeOfHeader(authorization: unknown): ChallengeScheme {
  return typeof authorization === 'string' && /^dpop\b/i.test(authorization) ? 'DPoP' : 'Bearer'
}

/** Returns the scheme for a token: `DPoP` if the claims name the key that the token is bound to (RFC 9449 §6.1). */
export function schemeOfClaims(claims: Record<string, unknown>): ChallengeScheme {
  return typeof Object(claims.cnf).jkt === 'string' ? 'DPoP' : 'Bearer'
}

/** Whether an `Authorization` header holds an access token (RFC 6750 §2.1, RFC 9449 §7.1), verified or not. */
export function hasToken(authorization: unknown): boolean {
  return typeof authorization === 'string' && /^(bearer|dpop)\b/i.test(authorization)
}
