import { readId } from './id.js'
import { type Instant, readNumericDate } from './instant.js'

/** Default namespace of the claims that the login Action adds. */
export const DEFAULT_NAMESPACE = 'https://last-logout/'

/** The facts of a token that decide whether it is revoked. */
export interface Token {
  /** The id of the user; for a machine token, the id of the client. */
  subject: string
  /** `null`: the token has no session. */
  sessionId: string | null
  /** When the user logged in; `null`: unknown. */
  loginAt: Instant | null
}

/**
 * The facts of a token, and the names of the claims from which they were read. A name is `null` if the token has no
 * such claim. If the name is set but its fact is `null`, the claim is present but unreadable.
 */
export interface TokenWithClaimNames extends Token {
  sessionClaim: string | null
  loginClaim: string | null
}

/** A token without a usable `sub`. */
export type SubjectlessToken = Omit<TokenWithClaimNames, 'subject'> & { subject: null }

/** The names of the claims that the login Action adds. */
export interface ClaimNames {
  sessionId: string
  authenticatedAt: string
  lastLogout: string
}

/** Returns the claim names in a namespace. */
export function claimNames(namespace: string = DEFAULT_NAMESPACE): ClaimNames {
  return {
    sessionId: `${namespace}session_id`,
    authenticatedAt: `${namespace}authenticated_at`,
    lastLogout: `${namespace}last_logout`,
  }
}

const DEFAULT_NAMES = claimNames()

/**
 * Reads verified claims (RFC 7519). The first claim that is present decides, even if it is unreadable.
 *
 * - The login: `authenticated_at` of the login Action, else `auth_time`, else `iat`. `iat` is last, because each use of
 *   a refresh token creates a new `iat`, even after a logout.
 * - The session: `session_id` of the login Action, else `sid`.
 */
export function readToken(
  claims: Record<string, unknown>,
  names: ClaimNames = DEFAULT_NAMES,
): TokenWithClaimNames | SubjectlessToken {
  const sessionClaim = findSessionClaim(claims, names)
  const loginClaim = findLoginClaim(claims, names)
  return {
    subject: readId(claims.sub),
    sessionId: sessionClaim === null ? null : readId(claims[sessionClaim]),
    loginAt: loginClaim === null ? null : readNumericDate(claims[loginClaim]),
    sessionClaim,
    loginClaim,
  }
}

function findSessionClaim(claims: Record<string, unknown>, { sessionId }: ClaimNames) {
  if (claims[sessionId] !== undefined) return sessionId
  return claims.sid === undefined ? null : 'sid'
}

function findLoginClaim(claims: Record<string, unknown>, { authenticatedAt }: ClaimNames) {
  if (claims[authenticatedAt] !== undefined) return authenticatedAt
  if (claims.auth_time !== undefined) return 'auth_time'
  return claims.iat === undefined ? null : 'iat'
}

/** Whether the token has a claim with the time of the login, but the claim is unreadable. */
export function isLoginUnreadable({
  loginAt,
  loginClaim,
}: TokenWithClaimNames | SubjectlessToken): boolean {
  return loginAt === null && loginClaim !== null
}

/** Whether the token has a claim with the session id, but the claim is unreadable. */
export function isSessionUnreadable({
  sessionId,
  sessionClaim,
}: TokenWithClaimNames | SubjectlessToken): boolean {
  return sessionId === null && sessionClaim !== null
}

/** Whether the subject is an application (client credentials grant). An application cannot log out. */
export function isMachine(subject: string): boolean {
  // Every check calls this function. Looking at the last character takes less time than `endsWith`.
  return subject[subject.length - 1] === 's' && /^[^|]+@clients$/.test(subject)
}
