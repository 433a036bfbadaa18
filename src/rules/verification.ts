/** The claims of a token whose signature, issuer and lifetime were verified. */
export interface VerifiedClaims extends Record<string, unknown> {
  iss: string
  sub: string
  iat: number
  exp: number
}

/**
 * The result of a verification. `unknown`: the keys of the tenant could not be fetched, or the token names an unknown
 * key and the keys must not be fetched again yet.
 */
export type Verification =
  | { outcome: 'valid'; claims: VerifiedClaims }
  | { outcome: 'invalid'; reason: string }
  | { outcome: 'unknown'; retryAfterMs: number }

/** Verifies the tokens of a tenant. */
export interface TokenVerifier {
  /** Verifies an access token for an API (RFC 9068 §4). ID tokens and logout tokens are invalid. */
  verifyAccessToken(token: string, audience: string): Promise<Verification>
  /**
   * Verifies an `id_token_hint`. The ID token may have expired.
   *
   * @param clientId The client to which the ID token must belong; `null`: any client.
   * @see https://openid.net/specs/openid-connect-rpinitiated-1_0.html#ValidationAndErrorHandling
   */
  verifyIdTokenHint(hint: string, clientId: string | null): Promise<Verification>
}
