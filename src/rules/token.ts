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
 * A token as its claims describe it, with the names of the claims that decide. A claim is present
 * unless it is `undefined`: JSON's `null` is present, and unreadable. A name beside a fact that is
 * `null` therefore means an unreadable claim; no name means an absent one.
 */
export interface ClaimedToken extends Token {
  sessionClaim: string | null
  loginClaim: string | null
}

/** A token without a usable `sub`. */
export type SubjectlessToken = Omit<ClaimedToken, 'subject'> & { subject: null }

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
 * Reads verified claims (RFC 7519). The login is the Action's `authenticated_at`, else `auth_time`,
 * else `iat`: last, because an exchange of a refresh token that outlived the logout mints a new
 * `iat`. The session is the Action's `session_id`, else `sid`. The first claim that is present
 * decides: an unreadable one never falls through to the next.
 */
export function readToken(
  claims: Record<string, unknown>,
  names: ClaimNames = DEFAULT_NAMES,
): ClaimedToken | SubjectlessToken {
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

/** Whether the claim that says when the login happened is present, but cannot be read. */
export function isLoginUnreadable({
  loginAt,
  loginClaim,
}: ClaimedToken | SubjectlessToken): boolean {
  return loginAt === null && loginClaim !== null
}

/** Whether the claim that names the session is present, but cannot be read: it then names none. */
export function isSessionUnreadable({
  sessionId,
  sessionClaim,
}: ClaimedToken | SubjectlessToken): boolean {
  return sessionId === null && sessionClaim !== null
}

/** Whether the subject is an application's own (client credentials): it cannot log out. */
export function isMachine(subject: string): boolean {
  return subject.endsWith('@clients') && /^[^|]+@clients$/.test(subject)
}
