import { readId } from './id.js'
import { type Instant, readNumericDate } from './instant.js'

/** The namespace of the claims that the login Action adds, unless configured otherwise. */
const DEFAULT_NAMESPACE = 'https://last-logout/'

/** What the rules need to know of a token. */
export interface Token {
  /** The user, or the client of a machine token. */
  subject: string
  /** `null`: the token names no session. */
  sessionId: string | null
  /** When the token's login happened; `null`: the token does not say. */
  loginAt: Instant | null
}

/**
 * Reads verified claims (RFC 7519); `null` without a usable `sub`. The login is the Action's
 * `authenticated_at`, else `auth_time`, else `iat`: last, because an exchange of a refresh token
 * that outlived the logout mints a new `iat`.
 */
export function readToken(
  claims: Record<string, unknown>,
  namespace: string = DEFAULT_NAMESPACE,
): Token | null {
  const subject = readId(claims.sub)
  if (subject === null) return null
  return {
    subject,
    sessionId: readId(claims[`${namespace}session_id`]) ?? readId(claims.sid),
    loginAt:
      readNumericDate(claims[`${namespace}authenticated_at`]) ??
      readNumericDate(claims.auth_time) ??
      readNumericDate(claims.iat),
  }
}

/** Whether the subject is an application's own (client credentials): it cannot log out. */
export function isMachine(subject: string): boolean {
  return /^[^|]+@clients$/.test(subject)
}
