import { schemeOfHeader } from './challenge-scheme.js'
import type { Decision } from './decision.js'

/** Value of `Retry-After`, in seconds. */
const RETRY_AFTER_SECONDS = '5'

/** The response that a resource server sends to refuse a request. */
export interface Refusal {
  status: 401 | 503
  headers: Record<string, string>
  body: { error: string; error_description: string }
}

/**
 * Returns the response that refuses a request, or `null` if the request may continue. The status is 401 `invalid_token`
 * for a revoked token (RFC 6750 §3.1), and 503 for an unknown revocation status.
 *
 * @param authorization The `Authorization` header of the request, or its scheme. The header `WWW-Authenticate` has the
 *   same scheme. Default `Bearer`.
 * @example
 * const refusal = toRefusal(await client.check(claims), request.headers.authorization)
 * if (refusal) return send(refusal.status, refusal.headers, refusal.body)
 */
export function toRefusal(
  { allowed, outcome }: Pick<Decision, 'allowed' | 'outcome'>,
  authorization?: string | null,
): Refusal | null {
  if (allowed) return null
  if (outcome === 'revoked') return refuseToken('the token was revoked by a logout', authorization)
  return {
    status: 503,
    headers: { 'Retry-After': RETRY_AFTER_SECONDS },
    body: {
      error: 'temporarily_unavailable',
      error_description: 'the revocation status of the token is unavailable',
    },
  }
}

/**
 * Returns the response that refuses a token: 401 `invalid_token` with a challenge (RFC 6750 §3).
 *
 * @param description The reason. It must not contain `"`, `\` or characters outside ASCII.
 */
export function refuseToken(description: string, authorization: unknown): Refusal {
  const scheme = schemeOfHeader(authorization)
  const challenge = `${scheme} error="invalid_token", error_description="${description}"`
  return {
    status: 401,
    headers: { 'WWW-Authenticate': challenge },
    body: { error: 'invalid_token', error_description: description },
  }
}
