/** The scheme in the `Authorization` header of a request, and in the `WWW-Authenticate` header of its refusal. */
export type ChallengeScheme = 'Bearer' | 'DPoP'

/** Returns the scheme of an `Authorization` header: `DPoP` (RFC 9449 §7.1), else `Bearer`. */
export function schemeOfHeader(authorization: unknown): ChallengeScheme {
  return typeof authorization === 'string' && /^dpop\b/i.test(authorization) ? 'DPoP' : 'Bearer'
}

/** Returns the scheme for a token: `DPoP` if the token is bound to a key (RFC 9449 §6.1), else `Bearer`. */
export function schemeOfClaims(claims: Record<string, unknown>): ChallengeScheme {
  return typeof Object(claims.cnf).jkt === 'string' ? 'DPoP' : 'Bearer'
}

/** Whether an `Authorization` header contains an access token (RFC 6750 §2.1, RFC 9449 §7.1). */
export function hasToken(authorization: unknown): boolean {
  return typeof authorization === 'string' && /^(bearer|dpop)\b/i.test(authorization)
}
