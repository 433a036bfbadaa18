import { DENIAL_PREFIX, DENIALS } from '../rules/action-settings.js'

/**
 * Returns why the login Action denied the exchange of a refresh token; `null`: the error is another one.
 *
 * @param code The `error` of the token endpoint (RFC 6749 §5.2).
 * @param description Its `error_description`.
 */
export function readDenial(code: unknown, description: unknown): 'revoked' | 'unknown' | null {
  const text = String(description)
  if (code !== 'access_denied' || !text.startsWith(DENIAL_PREFIX)) return null
  return text === DENIALS.revoked ? 'revoked' : 'unknown'
}
