import type { Decision } from './decision.js'

/** Seconds after which it is worth asking again. */
const RETRY_AFTER = '5'

/** What a resource server answers instead of what was asked for. */
export interface Refusal {
  status: 401 | 503
  headers: Record<string, string>
  body: { error: string; error_description: string }
}

/**
 * The answer to a request that may not go on; `null` for one that may. 401 `invalid_token` (RFC 6750
 * §3.1) where the token is revoked; 503 where that cannot be said.
 */
export function toRefusal({ allowed, outcome }: Decision): Refusal | null {
  if (allowed) return null
  if (outcome === 'revoked') {
    const error_description = 'a logout has ended this token'
    const challenge = `Bearer error="invalid_token", error_description="${error_description}"`
    return {
      status: 401,
      headers: { 'WWW-Authenticate': challenge },
      body: { error: 'invalid_token', error_description },
    }
  }
  return {
    status: 503,
    headers: { 'Retry-After': RETRY_AFTER },
    body: {
      error: 'temporarily_unavailable',
      error_description: 'it cannot be said now whether a logout has ended this token',
    },
  }
}
