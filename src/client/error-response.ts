import type { ChallengeScheme } from './challenge-scheme.js'
import type { Decision } from './decision.js'

/** Value of `Retry-After` in seconds. */
const RETRY_AFTER_SECONDS = '5'

/** The response that a resource server sends to reject a request. */
export interface ErrorResponse {
  status: 401 | 503
  headers: Record<string, string>
  body: { error: string; error_description: string }
}

/**
 * Returns the response that rejects a request: 401 `invalid_token` for a revoked token (RFC 6750 §3.1), 503 for an
 * unknown revocation status. Returns `null` if the request may continue.
 *
 * @param scheme The scheme of the request, for the `WWW-Authenticate` header. Default `Bearer`.
 */
export function toErrorResponse(
  { allowed, outcome }: Decision,
  scheme: ChallengeScheme = 'Bearer',
): ErrorResponse | null {
  if (allowed) return null
  if (outcome === 'revoked') {
    const error_description = 'the token was revoked by a logout'
    const challenge = `${scheme} error="invalid_token", error_description="${error_description}"`
    return {
      status: 401,
      headers: { 'WWW-Authenticate': challenge },
      body: { error: 'invalid_token', error_description },
    }
  }
  return {
    status: 503,
    headers: { 'Retry-After': RETRY_AFTER_SECONDS },
    body: {
      error: 'temporarily_unavailable',
      error_description: 'the revocation status of the token is unavailable',
    },
  }
}
