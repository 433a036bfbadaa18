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

/** The names of the claims that the login Action adds. */
export interface ClaimNames {
  sessionId: string
  authenticatedAt: string
}

/** The names within a namespace. */
export function claimNames(namespace: string = DEFAULT_NAMESPACE): ClaimNames {
  return {
    sessionId: `${namespace}session_id`,
    authenticatedAt: `${namespace}authenticated_at`,
  }
}

const DEFAULT_NAMES = claimNames()

/**
 * Reads verified claims (RFC 7519); `null` without a usable `sub`. The login is the Action's
 * `authenticated_at`, else `auth_time`, else `iat`: last, because an exchange of a refresh token
 * that outlived the logout mints a new `iat`.
 */
export function readToken(
  claims: Record<string, unknown>,
  names: ClaimNames = DEFAULT_NAMES,
): Token | null {
  const subject = readId(claims.sub)
  if (subject === null) return null
  return {
    subject,
    sessionId: readId(claims[names.sessionId]) ?? readId(claims.sid),
    loginAt:
      readNumericDate(claims[names.authenticatedAt]) ??
      readNumericDate(claims.auth_time) ??
      readNumericDate(claims.iat),
  }
}

/** Whether the subject is an application's own (client credentials): it cannot log out. */
export function isMachine(subject: string): boolean {
  return subject.endsWith('@clients') && /^[^|]+@clients$/.test(subject)
}
